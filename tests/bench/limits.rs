//! What the machine could do at most: bytes sent by nothing but a socket, and records that a disk keeps.

use std::env;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::load::{Load, Target};

/// The argument that makes this program a raw sender.
pub(crate) const RAW_SENDER: &str = "raw-sender";

/// The size of the file that records are written to over and over, in bytes. It is filled before the time begins,
/// because a file that grows costs more than its own sync.
const LOG_BYTES: usize = 16 * 1024 * 1024;

/// A process that answers every request with the same bytes; killed when dropped.
pub(crate) struct RawSender {
    child: Child,
    address: SocketAddr,
    // Its end tells the process that nobody needs it any more, even if this one was killed.
    _input: ChildStdin,
}

impl RawSender {
    /// Starts one that sends this response, head and body.
    pub(crate) fn start(response: &[u8]) -> RawSender {
        let program = env::current_exe().expect("this program has a path");
        let mut command = Command::new(program);
        let mut child = command
            .arg(RAW_SENDER)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program can be run again");
        let mut input = child.stdin.take().expect("it was asked for");
        let mut output = BufReader::new(child.stdout.take().expect("it was asked for"));
        input.write_all(&(response.len() as u64).to_be_bytes()).expect("the sender reads its response");
        input.write_all(response).expect("the sender reads its response");
        let mut line = String::new();
        output.read_line(&mut line).expect("the sender writes its address");
        let address = line.trim().parse().expect("the sender writes its address");
        RawSender { child, address, _input: input }
    }

    /// Who is to be loaded.
    pub(crate) fn target(&self) -> Target {
        Target { address: self.address, process: self.child.id(), tls: None }
    }
}

impl Drop for RawSender {
    fn drop(&mut self) {
        // Both fail only when it has already ended and been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The process of a [`RawSender`]: one thread per connection, one shared buffer, one write per request.
pub(crate) fn send_raw() {
    let mut input = io::stdin().lock();
    let mut len = [0; 8];
    input.read_exact(&mut len).expect("the response comes on standard input");
    let mut response = vec![0; u64::from_be_bytes(len) as usize];
    input.read_exact(&mut response).expect("the response comes on standard input");
    let response: Arc<[u8]> = response.into();
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("there is a free port");
    println!("{}", listener.local_addr().expect("a listener has an address"));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let response = response.clone();
            thread::spawn(move || answer_all(stream, &response));
        }
    });
    // Nothing more comes: this is the end of the process that started this one.
    let _ = input.read(&mut [0]);
}

fn answer_all(mut stream: TcpStream, response: &[u8]) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut request = [0; 4096];
    let mut filled = 0;
    loop {
        match stream.read(&mut request[filled..])? {
            0 => return Ok(()),
            read => filled += read,
        }
        if request[..filled].ends_with(b"\r\n\r\n") {
            stream.write_all(response)?;
            filled = 0;
        }
    }
}

/// Writers that each wait until their record is on disk and then bring the next one, for a while: all that wait
/// share one write and one sync, which is the least that keeping them can cost.
pub(crate) fn synced_records(directory: &Path, writers: usize, record_bytes: usize, duration: Duration) -> Load {
    let mut file = File::create(directory.join("log")).expect("the directory can be written to");
    file.write_all(&vec![0; LOG_BYTES]).expect("there is room on the disk");
    file.sync_all().expect("the disk can be synced");
    let log = Log::default();
    let record = vec![b'x'; record_bytes];
    let end = Instant::now() + duration;
    thread::scope(|scope| {
        let writer = || {
            let mut latencies = Vec::new();
            while Instant::now() < end {
                let start = Instant::now();
                log.append(&record);
                latencies.push(start.elapsed().as_secs_f64());
            }
            latencies
        };
        let writers: Vec<_> = (0..writers).map(|_| scope.spawn(writer)).collect();
        scope.spawn(|| log.sync_until_closed(&mut file));
        let latencies: Vec<f64> =
            writers.into_iter().flat_map(|writer| writer.join().expect("records were kept")).collect();
        log.close();
        let rate = latencies.len() as f64 / duration.as_secs_f64();
        Load { rate, bytes_per_second: rate * record_bytes as f64, latencies, ..Load::default() }
    })
}

#[derive(Default)]
struct Log {
    state: Mutex<LogState>,
    changed: Condvar,
    synced: Condvar,
}

#[derive(Default)]
struct LogState {
    waiting: Vec<u8>,
    /// How many batches were taken to be written, and how many of them are on disk.
    taken: u64,
    synced: u64,
    closed: bool,
}

impl Log {
    /// Returns when the record is on disk.
    fn append(&self, record: &[u8]) {
        let mut state = self.state.lock();
        state.waiting.extend_from_slice(record);
        let batch = state.taken + 1;
        self.changed.notify_one();
        self.synced.wait_while(&mut state, |state| state.synced < batch);
    }

    fn sync_until_closed(&self, file: &mut File) {
        let mut at = LOG_BYTES;
        loop {
            let mut state = self.state.lock();
            self.changed.wait_while(&mut state, |state| state.waiting.is_empty() && !state.closed);
            if state.closed {
                return;
            }
            let records = std::mem::take(&mut state.waiting);
            state.taken += 1;
            let batch = state.taken;
            drop(state);
            if at + records.len() > LOG_BYTES {
                file.seek(SeekFrom::Start(0)).expect("a file has a beginning");
                at = 0;
            }
            at += records.len();
            file.write_all(&records).expect("the disk can be written to");
            file.sync_data().expect("the disk can be synced");
            self.state.lock().synced = batch;
            self.synced.notify_all();
        }
    }

    fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_one();
    }
}
