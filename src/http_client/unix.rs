//! HTTP over a Unix socket: what `ureq` needs to be told for that.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport};

use crate::endpoint::unix_address;

/// A read that was interrupted goes on for so long at least, since none means without a limit.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// Connects to the socket at this path, or with this name in the abstract namespace after an `@`, whatever the URL says.
#[derive(Debug)]
pub(super) struct UnixConnector(pub(super) PathBuf);

impl Connector for UnixConnector {
    type Out = UnixTransport;

    fn connect(&self, details: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<UnixTransport>, Error> {
        let stream = UnixStream::connect_addr(&unix_address(&self.0)?)?;
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(UnixTransport { stream, buffers }))
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct UnixTransport {
    stream: UnixStream,
    buffers: LazyBuffers,
}

impl Transport for UnixTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let timeout = timeout.for_write();
        self.stream.set_write_timeout(timeout.not_zero().map(|timeout| *timeout))?;
        let written = self.stream.write_all(&self.buffers.output()[..amount]);
        written.map_err(|e| in_time(e, timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let timeout = timeout.for_read();
        let (begun, limit) = (Instant::now(), timeout.not_zero().map(|timeout| *timeout));
        let mut left = limit;
        let read = loop {
            self.stream.set_read_timeout(left)?;
            match self.stream.read(self.buffers.input_append_buf()) {
                // A signal was handled, or the process was stopped and goes on.
                Err(e) if e.kind() == ErrorKind::Interrupted => {
                    left = limit.map(|limit| limit.saturating_sub(begun.elapsed()).max(SHORTEST_WAIT));
                }
                read => break read.map_err(|e| in_time(e, timeout))?,
            }
        };
        self.buffers.input_appended(read);
        Ok(read > 0)
    }

    fn is_open(&mut self) -> bool {
        // Nothing is waiting to be read on a connection that is open and idle; its end is.
        let peek = |stream: &mut UnixStream| -> std::io::Result<usize> {
            stream.set_nonblocking(true)?;
            let read = stream.read(&mut [0]);
            stream.set_nonblocking(false)?;
            read
        };
        matches!(peek(&mut self.stream), Err(e) if e.kind() == std::io::ErrorKind::WouldBlock)
    }
}

fn in_time(error: std::io::Error, timeout: NextTimeout) -> Error {
    match error.kind() {
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => Error::Timeout(timeout.reason),
        _ => Error::Io(error),
    }
}
