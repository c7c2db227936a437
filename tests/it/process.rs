//! A program under test: its output line by line, signals, and its certain end when the test is over.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use crate::eventually::{SOON, eventually_some};

/// A running program; killed when dropped.
pub(crate) struct Process {
    name: String,
    child: Child,
    stdout: Lines,
    stderr: Lines,
}

impl Process {
    /// Starts the program and collects what it writes.
    #[track_caller]
    pub(crate) fn start(command: &mut Command) -> Process {
        Process::start_reading(Stdio::null(), command)
    }

    /// Starts the program with this standard input.
    #[track_caller]
    pub(crate) fn start_reading(stdin: Stdio, command: &mut Command) -> Process {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{name} does not start: {e}"));
        let stdout = Lines::of(child.stdout.take().expect("standard output is piped"));
        let stderr = Lines::of(child.stderr.take().expect("standard error is piped"));
        Process { name, child, stdout, stderr }
    }

    /// The number of the process.
    pub(crate) fn id(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("process numbers are small"))
    }

    /// What it has written to standard output so far.
    pub(crate) fn stdout(&self) -> Vec<String> {
        self.stdout.read()
    }

    /// What it has written to standard error so far.
    pub(crate) fn stderr(&self) -> Vec<String> {
        self.stderr.read()
    }

    /// Waits for a line on standard error that holds all of these texts, and returns the first one.
    #[track_caller]
    pub(crate) fn line_with(&mut self, texts: &[&str]) -> String {
        let end = Instant::now() + SOON;
        loop {
            let running = self.is_running();
            if !running {
                self.wait();
            }
            if let Some(line) = self.stderr().into_iter().find(|line| texts.iter().all(|text| line.contains(text))) {
                return line;
            }
            assert!(running, "{} ended without writing {texts:?}", self.name);
            assert!(Instant::now() < end, "{} has not written {texts:?} within {SOON:?}", self.name);
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends a signal.
    #[track_caller]
    pub(crate) fn signal(&self, signal: Signal) {
        signal::kill(self.id(), signal).expect("the process is there to be signalled");
    }

    /// Whether it has not ended yet.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child can be asked for its status").is_none()
    }

    /// Waits until the program has ended by itself; all its output is there then.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let status = eventually_some(SOON, || self.child.try_wait().expect("a child can be asked for its status"));
        self.stdout.complete();
        self.stderr.complete();
        status
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when the program has already ended and been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- {} wrote:\n{}", self.name, [self.stdout(), self.stderr()].concat().join("\n"));
        }
    }
}

/// The lines that come out of a pipe, which is emptied all the while so that no program waits for its reader.
struct Lines {
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Lines {
    fn of(pipe: impl Read + Send + 'static) -> Lines {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let collected = Arc::clone(&lines);
        let reader = thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                collected.lock().unwrap().push(String::from_utf8_lossy(&line).trim_end().to_owned());
                line.clear();
            }
        });
        Lines { lines, reader: Some(reader) }
    }

    fn read(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Waits for the end of the pipe, which is near when the program has ended.
    fn complete(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("reading lines does not panic");
        }
    }
}
