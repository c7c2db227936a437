//! Faults of the machine under a server: a small library (`faults.c`) is preloaded into it, and told what is wrong while
//! the server runs.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::eventually::{SOON, eventually};
use crate::redis_server::RedisServer;
use crate::server::Setup;

/// The places of the numbers that the library reads and writes, in its order.
#[derive(Debug, Clone, Copy)]
enum Place {
    Disk,
    Realtime,
    Monotonic,
    Boottime,
    Attached,
    Met,
}

/// What is the matter with the disk, in the order of the library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    None,
    Hanging,
    Full,
    Failing,
}

#[derive(Debug)]
struct Page(File);

impl Page {
    #[track_caller]
    fn get(&self, place: Place) -> i64 {
        let mut bytes = [0; size_of::<i64>()];
        self.0.read_exact_at(&mut bytes, Self::offset(place)).expect("the page is there");
        i64::from_ne_bytes(bytes)
    }

    #[track_caller]
    fn set(&self, place: Place, number: i64) {
        self.0.write_all_at(&number.to_ne_bytes(), Self::offset(place)).expect("the page is there");
    }

    fn offset(place: Place) -> u64 {
        (place as usize * size_of::<i64>()) as u64
    }
}

/// A server with a disk and clocks that can be told what to do, before it starts and while it runs.
#[track_caller]
pub(crate) fn inject(setup: Setup) -> (Setup, Disk, Clock) {
    let (page, environment) = page(setup.path("faults"));
    let setup = environment.iter().fold(setup, |setup, (name, value)| setup.env(name, value));
    (setup, Disk(Arc::clone(&page)), Clock(page))
}

/// The clocks of a Redis that is not started yet.
#[track_caller]
pub(crate) fn clock_of(redis: &mut RedisServer) -> Clock {
    let (page, environment) = page(redis.path("faults"));
    redis.environment(environment);
    Clock(page)
}

/// The numbers in a new file, and the variables by which a program finds them.
#[track_caller]
fn page(path: PathBuf) -> (Arc<Page>, [(&'static str, String); 2]) {
    let file = File::options().read(true).write(true).create_new(true).open(&path).expect("faults are injected once");
    file.set_len((Place::Met as u64 + 1) * size_of::<i64>() as u64).expect("the directory can be written to");
    let page = Arc::new(Page(file));
    let text = |path: &Path| path.to_str().expect("temporary directories have plain names").to_owned();
    (page, [("LD_PRELOAD", text(library())), ("FAULTS", text(&path))])
}

/// The disk calls of a server on the file of its store.
#[derive(Debug, Clone)]
pub(crate) struct Disk(Arc<Page>);

impl Disk {
    /// No call returns any more.
    pub(crate) fn hang(&self) {
        self.is(Trouble::Hanging);
    }

    /// What writes or makes the file grow fails for want of room.
    pub(crate) fn fill(&self) {
        self.is(Trouble::Full);
    }

    /// Every call fails with an I/O error.
    pub(crate) fn fail(&self) {
        self.is(Trouble::Failing);
    }

    /// The disk is well again; calls that hang go on.
    pub(crate) fn heal(&self) {
        self.is(Trouble::None);
    }

    /// Waits until some call has met a fault.
    #[track_caller]
    pub(crate) fn is_met(&self) {
        eventually(SOON, || self.0.get(Place::Met) > 0);
    }

    fn is(&self, trouble: Trouble) {
        self.0.set(Place::Met, 0);
        self.0.set(Place::Disk, trouble as i64);
    }
}

/// The clocks of a server.
#[derive(Debug, Clone)]
pub(crate) struct Clock(Arc<Page>);

impl Clock {
    /// The wall clock is set by so many seconds, back when they are negative.
    pub(crate) fn step(&self, seconds: i64) {
        self.add(Place::Realtime, seconds);
    }

    /// The machine has slept: the wall clock went on, the monotonic clock did not.
    pub(crate) fn sleep(&self, time: Duration) {
        self.advance(&[Place::Realtime, Place::Boottime], time);
    }

    /// So much time has passed, of which the server was given no moment.
    pub(crate) fn pass(&self, time: Duration) {
        self.advance(&[Place::Realtime, Place::Boottime, Place::Monotonic], time);
    }

    /// Fails when nothing of this reaches the server that was started.
    #[track_caller]
    pub(crate) fn is_attached(&self) {
        assert_ne!(self.0.get(Place::Attached), 0, "the library is not loaded");
    }

    fn advance(&self, places: &[Place], time: Duration) {
        let seconds = i64::try_from(time.as_secs()).expect("no such time passes");
        places.iter().for_each(|place| self.add(*place, seconds));
    }

    fn add(&self, place: Place, seconds: i64) {
        self.0.set(place, self.0.get(place) + seconds);
    }
}

/// The library, compiled once by each test program.
#[track_caller]
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let (library, unfinished) = (place.join("faults.so"), place.join(format!("faults.{}", std::process::id())));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/faults.c");
        let compiler = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
            .arg(&unfinished)
            .arg(source)
            .status();
        assert!(compiler.expect("there is a C compiler").success(), "{source} does not compile");
        // Nobody finds a library that is half written, and whoever has loaded the one before keeps it.
        std::fs::rename(&unfinished, &library).expect("a file can be renamed");
        library
    })
}
