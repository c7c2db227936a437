//! `import`: what files and `http_sd` lists hold, registered one by one over a few connections.

mod progress;
mod sources;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::connection::Api;
use super::output::{Output, count};
use super::plan::{GroupPlan, PlanCounts};
use super::{Entry, Failure, declare, lookup};
use crate::config::commands::{Filter, ImportCommand};
use crate::signals::Interrupted;
use progress::Progress;
use sources::RefusedEntries;

/// Connections that register at the same time.
const CONNECTIONS: usize = 16;

/// How often a registration is tried while the server cannot be reached or fails, and the first pause between tries,
/// which then doubles: some 15 s in all.
const TRIES: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// So many refusals of the token before the first success mean that nothing will be accepted.
const UNAUTHORISED_MAX: usize = 100;

/// How often progress is looked at.
const GLANCE: Duration = Duration::from_millis(100);

/// Registers everything, and says what came of it.
pub(super) fn run(connection: &Api, command: &ImportCommand, output: Output) -> Result<(), Failure> {
    let mut read = sources::read(connection, command)?;
    // What was read can be left as it is until here; from now on what was done is said.
    let interrupted = Interrupted::listen().map_err(signals_refused)?;
    let (group, ttl) = (command.group.as_deref(), command.ttl);
    let entries: Vec<Entry> = read.entries.drain(..).map(|entry| entry.or(group, ttl)).collect();
    if connection.can_list()? {
        show_plan(connection, &entries, command.dry_run, &interrupted, output)?;
    } else {
        connection.must_have_no_lifetimes(&entries)?;
        output.print(&format!("{} to register; this server cannot say which of them it has\n", entries.len()));
    }
    let work =
        ImportJob { connection, entries: &entries, refusals: Mutex::new(read.refusals), ..ImportJob::new(connection) };
    if !command.dry_run {
        work.run(&interrupted);
    }
    work.conclude(command.dry_run, output)
}

fn signals_refused(e: std::io::Error) -> Failure {
    Failure::Unavailable(format!("cannot handle signals: {e}"))
}

/// Compares with what the server has, which is not kept: only what concerns the entries, and only for a dry run.
fn show_plan(
    connection: &Api,
    entries: &[Entry],
    with_differences: bool,
    interrupted: &Interrupted,
    output: Output,
) -> Result<(), Failure> {
    let wanted: HashMap<_, _> = entries.iter().enumerate().map(|(at, entry)| (entry.id(), at)).collect();
    let (mut counts, mut current) = (PlanCounts::default(), Vec::new());
    let everything = Filter { groups: Vec::new(), selectors: Vec::new() };
    connection.registrations(&everything, None, None, |listed, _| {
        if interrupted.is_set() {
            return Err(Failure::Interrupted("interrupted: nothing was registered".to_owned()));
        }
        let listed = lookup::entry(listed)?;
        if let Some(at) = wanted.get(&listed.id()) {
            counts.count(&entries[*at], Some(&listed));
            if with_differences {
                current.push(listed);
            }
        }
        Ok(true)
    })?;
    counts.create = entries.len() - counts.change - counts.unchanged;
    if with_differences {
        let differences = GroupPlan::new(&current, entries).differences(("on the server", "to be imported"));
        declare::show_differences(&differences, output);
    }
    output.print(&format!("{counts}\n"));
    Ok(())
}

/// What the connections share.
struct ImportJob<'a> {
    connection: &'a Api,
    entries: &'a [Entry],
    /// The next entry to be taken.
    next: AtomicUsize,
    registered: AtomicUsize,
    unauthorised: AtomicUsize,
    refusals: Mutex<RefusedEntries>,
    /// Why everything stops, if it does before the end.
    stop: AtomicBool,
    failure: Mutex<Option<Failure>>,
    started: Instant,
}

impl<'a> ImportJob<'a> {
    fn new(connection: &'a Api) -> ImportJob<'a> {
        ImportJob {
            connection,
            entries: &[],
            next: AtomicUsize::new(0),
            registered: AtomicUsize::new(0),
            unauthorised: AtomicUsize::new(0),
            refusals: Mutex::default(),
            stop: AtomicBool::new(false),
            failure: Mutex::new(None),
            started: Instant::now(),
        }
    }

    fn run(&self, interrupted: &Interrupted) {
        let mut progress = Progress::new(self.entries.len());
        thread::scope(|scope| {
            let workers: Vec<_> =
                (0..CONNECTIONS.min(self.entries.len())).map(|_| scope.spawn(|| self.work())).collect();
            while workers.iter().any(|worker| !worker.is_finished()) {
                if interrupted.is_set() {
                    self.end(Failure::Interrupted("interrupted".to_owned()));
                }
                progress.show(self.next.load(Ordering::Relaxed).min(self.entries.len()));
                thread::sleep(GLANCE);
            }
        });
        progress.finish();
    }

    fn work(&self) {
        let connection = self.connection.another();
        while !self.stop.load(Ordering::Relaxed) {
            let Some(entry) = self.entries.get(self.next.fetch_add(1, Ordering::Relaxed)) else { return };
            self.register(&connection, entry);
        }
    }

    fn register(&self, connection: &Api, entry: &Entry) {
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=TRIES {
            let problem = match connection.put(entry) {
                Ok(answer) if answer.status == 200 && answer.is_ours("/target") => {
                    self.registered.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                Ok(answer) if answer.status < 500 && answer.is_ours("/target") => {
                    let unauthorised = matches!(answer.status, 401 | 403);
                    return self.refused(entry, &answer.reason(), unauthorised);
                }
                Ok(answer) if answer.is_ours("/target") || answer.status >= 500 => {
                    format!("the server answers {}: {}", answer.status, answer.reason())
                }
                Ok(answer) => {
                    let text = format!("what answers is not inventor ({}: {})", answer.status, answer.reason());
                    return self.end(Failure::Unavailable(text));
                }
                Err(e) => format!("no answer from {e}"),
            };
            if attempt == TRIES {
                return self.end(Failure::Unavailable(problem));
            }
            // Not longer than needed when everything stops meanwhile.
            let end = Instant::now() + pause;
            while Instant::now() < end && !self.stop.load(Ordering::Relaxed) {
                thread::sleep(GLANCE);
            }
            pause *= 2;
        }
    }

    fn refused(&self, entry: &Entry, reason: &str, unauthorised: bool) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let token = if unauthorised { "the token is not accepted for this: " } else { "" };
        refusals.add(&entry.targets.join(","), &format!("{token}{reason}"));
        let refused_so_far = self.unauthorised.fetch_add(usize::from(unauthorised), Ordering::Relaxed) + 1;
        if unauthorised && refused_so_far >= UNAUTHORISED_MAX && self.registered.load(Ordering::Relaxed) == 0 {
            self.end(Failure::Refused(
                "the server does not accept this token; check INVENTOR_TOKEN or the token file".into(),
            ));
        }
    }

    /// Stops everything; the first reason counts.
    fn end(&self, failure: Failure) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Says what was done and what was refused.
    fn conclude(self, dry_run: bool, output: Output) -> Result<(), Failure> {
        let registered = self.registered.into_inner();
        let refusals = self.refusals.into_inner().unwrap_or_else(PoisonError::into_inner);
        refusals.tell();
        let (total, seconds) = (self.entries.len(), self.started.elapsed().as_secs_f64());
        if !dry_run {
            output
                .print(&format!("{registered} of {total} registered in {seconds:.1} s, {} refused\n", refusals.total));
        }
        match self.failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(failure) => Err(failure.after(&format!(
                "{registered} of {total} are registered; run it again, which does no harm to those that are"
            ))),
            None if refusals.total > 0 => {
                Err(Failure::Refused(format!("{} refused", count(refusals.total, "entry is", "entries are"))))
            }
            None => Ok(()),
        }
    }
}
