//! What one client, and all clients together, may take of the server: sizes, counts and times.

use std::time::Duration;

/// The largest body of an ordinary request, in bytes: 413 beyond. The Go program has the same limit.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// The largest body of a request that may bring more, in bytes: 413 beyond.
pub const LARGE_BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How many bodies above [`BODY_BYTES_MAX`] workers handle at a time. These are complete, so no client can delay the
/// next.
pub const LARGE_BODIES_MAX: usize = 2;

/// This many bytes of a large body are progress. A dripping client makes none.
pub const UPLOAD_STEP_BYTES: usize = 64 * 1024;

/// What the system may buffer for a TCP client that does not read, in bytes; it doubles this for its own overhead. Its
/// own choice is 4 MB each, and a thousand such clients use up the network memory of the machine.
pub const SEND_BUFFER_BYTES: usize = 256 * 1024;

/// The largest request line and header together, in bytes: 414 or 431 beyond.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;

/// The most header fields of one request: 431 beyond.
pub const FIELDS_MAX: usize = 64;

/// The most connections that wait in the kernel to be accepted, per listener, as far as the system permits. A client
/// without a place there tries again only after a second.
pub const BACKLOG: i32 = 4096;

/// The most accepted connections that wait for a thread, while others make room for them.
pub const ARRIVALS_MAX: usize = 64;

/// The stack of a connection's thread, in bytes of address space: only touched pages take memory. The usual request
/// touches 20 KiB; the deepest handler, which compresses a list, 320 KiB without optimization.
pub const STACK_BYTES: usize = 768 * 1024;

/// How long a client may take, in total and not per byte, and how many requests may wait.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Between two requests of a connection. Prometheus polls every 60 s and must not race with the close.
    pub idle: Duration,
    /// From the first byte of a request to the end of its head.
    pub head: Duration,
    /// From the end of the head to the end of the body.
    pub body: Duration,
    /// From the permission to send a large body to its end.
    pub large_body: Duration,
    /// From the forwarding of a request to its answer, the wait for a worker included.
    pub answer: Duration,
    /// How many requests below `/api/v1` are answered from memory at a time.
    pub questions: usize,
    /// How long such a request waits for its turn: 503 beyond.
    pub question_wait: Duration,
    /// For writing a response, whatever its size; [`Limits::response_bytes_per_second`] adds to it.
    pub response: Duration,
    /// A response may take one more second for each of these many bytes.
    pub response_bytes_per_second: usize,
    /// For a client that reads nothing of its response.
    pub stalled: Duration,
    /// For the answers and the large bodies of all clients together, in bytes. Lists are not counted.
    pub held_bytes: usize,
    /// For the lingering close: reading what a client still sends while it is told that the connection ends.
    pub lingering_close: Duration,
    /// The most requests that wait for a worker: 503 beyond. No fewer than connections by default, so that
    /// a crowd that polls in the same second waits for some milliseconds instead of being sent away.
    pub queue: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            idle: Duration::from_secs(120),
            head: Duration::from_secs(10),
            body: Duration::from_secs(10),
            large_body: Duration::from_secs(30),
            answer: Duration::from_secs(10),
            questions: 16,
            question_wait: Duration::from_secs(5),
            response: Duration::from_secs(30),
            response_bytes_per_second: 64 * 1024,
            stalled: Duration::from_secs(10),
            held_bytes: 64 * 1024 * 1024,
            lingering_close: Duration::from_millis(500),
            queue: 1024,
        }
    }
}

impl Limits {
    /// The time for writing a response of this many bytes. Whole seconds, so that it is the same for all small
    /// responses and the socket keeps its setting.
    pub fn response_time(&self, bytes: usize) -> Duration {
        self.response + Duration::from_secs((bytes / self.response_bytes_per_second.max(1)) as u64)
    }
}
