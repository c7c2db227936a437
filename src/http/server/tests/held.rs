//! Answers that wait for clients that do not read them.

use std::sync::Weak;

use parking_lot::Mutex;

use super::*;
use crate::turns::Turns;

const MEBIBYTE: usize = 1 << 20;
const HELD_MAX: usize = 16;
const QUESTIONS: usize = 2;

/// Makes answers, no two alike, and remembers which are still in memory.
#[derive(Default)]
struct Alive(Mutex<Vec<Weak<[u8]>>>);

impl Alive {
    fn body(&self, bytes: usize) -> Body {
        let mut made = self.0.lock();
        let mut bytes = vec![b'x'; bytes];
        bytes[..8].copy_from_slice(&made.len().to_be_bytes());
        let body = Body::from(bytes);
        made.push(Arc::downgrade(&body.parts()[0]));
        body
    }

    fn count(&self) -> usize {
        self.0.lock().iter().filter(|body| body.strong_count() > 0).count()
    }
}

#[test]
fn answers_of_their_own_have_one_bound_however_many_do_not_read_them() {
    let alive = Arc::new(Alive::default());
    let limits = Limits { held_bytes: HELD_MAX * MEBIBYTE, questions: QUESTIONS, ..Limits::default() };
    let noted = Arc::clone(&alive);
    let server = Fixture::with(
        |settings| (settings.connections_max, settings.limits) = (500, limits),
        move |request| {
            let body = if request.path == "/small" { Body::from(b"x".to_vec()) } else { noted.body(MEBIBYTE) };
            Response { body, ..text("") }
        },
    );
    let mut most = 0;
    let mut clients = Vec::new();
    for asked in 1..=200 {
        let mut client = server.connect();
        client.write_all(get(if asked % 2 == 0 { "/question" } else { "/store" }).as_bytes()).unwrap();
        clients.push(client);
        most = most.max(alive.count());
        assert!(server.metric("inventor_http_held_bytes") <= (HELD_MAX * MEBIBYTE) as f64);
    }
    // A worker also holds one while passing it on.
    assert!(most <= HELD_MAX + QUESTIONS + 4, "{most} answers were in memory");
    // A client that reads gets all of it, and one that holds nothing is not affected.
    assert!(server.exchange(last_get("/small")).ends_with("x"));
    let mut reader = server.connect();
    reader.write_all(get("/question").as_bytes()).unwrap();
    assert_eq!(read_response(&mut reader).1.len(), MEBIBYTE);
    assert!(alive.count() <= HELD_MAX + QUESTIONS + 4);
    drop(clients);
    wait_until(|| server.metric("inventor_http_held_bytes") == 0.0);
    // The socket of the reader is open still.
    reader.write_all(get("/small").as_bytes()).unwrap();
    assert_eq!(read_response(&mut reader).1, b"x");
}

#[test]
fn what_many_read_counts_once_and_lists_do_not_count() {
    let own = Body::from(vec![b'x'; 3 * MEBIBYTE]);
    let list = Body::new(vec![vec![b'x'; 3 * MEBIBYTE].into()].into());
    let limits = Limits { held_bytes: 4 * MEBIBYTE, ..Limits::default() };
    let server = Fixture::with(
        |settings| settings.limits = limits,
        move |request| Response { body: if request.path == "/own" { own.clone() } else { list.clone() }, ..text("") },
    );
    let ask = |path: &str| {
        let mut client = server.connect();
        client.write_all(get(path).as_bytes()).unwrap();
        client.read_exact(&mut [0]).unwrap();
        client
    };
    let lists: Vec<_> = (0..20).map(|_| ask("/list")).collect();
    assert_eq!(server.metric("inventor_http_held_bytes"), 0.0);
    let mut readers: Vec<_> = (0..20).map(|_| ask("/own")).collect();
    assert_eq!(server.metric("inventor_http_held_bytes"), (3 * MEBIBYTE) as f64);
    readers.truncate(1);
    assert_eq!(server.metric("inventor_http_held_bytes"), (3 * MEBIBYTE) as f64);
    drop((readers, lists));
    wait_until(|| server.metric("inventor_http_held_bytes") == 0.0);
    assert_eq!(server.metric("inventor_http_connections_evicted_total"), 0.0);
}

#[test]
fn the_turn_of_an_answer_ends_when_there_is_room_for_it() {
    let (turns, made) = (Turns::new(1), Alive::default());
    let server = Fixture::start(move |_| {
        let Some(turn) = turns.take(20 * SECOND) else { return text("nobody else is read meanwhile") };
        Response { body: made.body(3 * MEBIBYTE), ..text("") }.in_turn(Some(turn))
    });
    // No client reads more than the beginning.
    let clients: Vec<_> = (0..5)
        .map(|_| {
            let mut client = server.connect();
            client.write_all(get("/question").as_bytes()).unwrap();
            client.read_exact(&mut [0]).unwrap();
            client
        })
        .collect();
    assert_eq!(server.metric("inventor_http_held_bytes"), (clients.len() * 3 * MEBIBYTE) as f64);
}
