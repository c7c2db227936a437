//! `import`: registers the entries of files and `http_sd` lists one by one, over a few connections.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::fmt;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use parking_lot::Mutex;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::api::TARGET;
use super::connection::{Api, Secret, check_url, read_token};
use super::declare::{GroupPlan, PlanCounts, show_differences};
use super::output::{Output, print_line, tell};
use super::text::count;
use super::{Entry, Failure, files, lookup};
use crate::config::commands::{Filter, ImportCommand, TokenSource};
use crate::registration::{GROUP_LABEL, ID_LABEL, LabelNames, MODULE_LABEL, TargetId};
use crate::signals;

const CONNECTIONS: usize = 16;

/// How often a registration is tried while the server cannot be reached or fails, and the first pause between tries,
/// which then doubles: some 15 s in total.
const TRIES: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// This many refusals of the token before the first success mean that nothing will be accepted.
const UNAUTHORISED_MAX: usize = 100;

const GLANCE: Duration = Duration::from_millis(100);

pub(super) fn run(connection: &Api, command: &ImportCommand, output: Output) -> Result<(), Failure> {
    let mut read = read_sources(connection, command)?;
    // Until here an interrupt loses nothing; from now on it must report what was done.
    let interrupted = Arc::new(AtomicBool::new(false));
    let interrupt = Arc::clone(&interrupted);
    signals::forward(&[SIGINT, SIGTERM], move |_| interrupt.store(true, Ordering::Relaxed))
        .map_err(|e| Failure::Unavailable(format!("cannot handle signals: {e}")))?;
    let (group, ttl) = (command.group.as_deref(), command.ttl);
    let entries: Vec<Entry> = read.entries.drain(..).map(|entry| entry.or(group, ttl)).collect();
    if connection.can_list(&entries)? {
        show_plan(connection, &entries, command.dry_run, &interrupted, output)?;
    } else {
        print_line(&format!("{} to register; this server cannot say which of them it has", entries.len()));
    }
    let done = Mutex::new(ImportOutcome { refusals: read.refusals, ..ImportOutcome::default() });
    let started = Instant::now();
    let job =
        ImportJob { connection, entries: &entries, next: AtomicUsize::new(0), stop: AtomicBool::new(false), done };
    if !command.dry_run {
        job.run(&interrupted);
    }
    let ImportOutcome { registered, refusals, failure, .. } = job.done.into_inner();
    refusals.tell();
    let (total, refused) = (entries.len(), refusals.total);
    if !command.dry_run {
        let seconds = started.elapsed().as_secs_f64();
        print_line(&format!("{registered} of {total} registered in {seconds:.1} s, {refused} refused"));
    }
    match failure {
        Some(failure) => Err(failure.after(&format!(
            "{registered} of {total} are registered; run it again, which does no harm to those that are"
        ))),
        None if refused > 0 => Err(Failure::Refused(format!("{} refused", count(refused, "entry is", "entries are")))),
        None => Ok(()),
    }
}

/// Compares the entries with the server's registrations. Of these, keeps only the ones for a dry run.
fn show_plan(
    connection: &Api,
    entries: &[Entry],
    with_differences: bool,
    interrupted: &AtomicBool,
    output: Output,
) -> Result<(), Failure> {
    let wanted: HashMap<_, _> = entries.iter().enumerate().map(|(at, entry)| (entry.id(), at)).collect();
    let (mut counts, mut current) = (PlanCounts::default(), Vec::new());
    let everything = Filter { groups: Vec::new(), selectors: Vec::new() };
    connection.registrations(&everything, None, None, |listed, _| {
        if interrupted.load(Ordering::Relaxed) {
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
        show_differences(&differences, output);
    }
    print_line(&counts.to_string());
    Ok(())
}

struct ImportJob<'a> {
    connection: &'a Api,
    entries: &'a [Entry],
    next: AtomicUsize,
    /// Everything stops before the end.
    stop: AtomicBool,
    done: Mutex<ImportOutcome>,
}

#[derive(Default)]
struct ImportOutcome {
    registered: usize,
    /// How many of the refusals were of the token.
    unauthorised: usize,
    refusals: RefusedEntries,
    failure: Option<Failure>,
}

impl ImportJob<'_> {
    fn run(&self, interrupted: &AtomicBool) {
        let mut progress = Progress::new(self.entries.len());
        thread::scope(|scope| {
            let workers: Vec<_> =
                (0..CONNECTIONS.min(self.entries.len())).map(|_| scope.spawn(|| self.work())).collect();
            while workers.iter().any(|worker| !worker.is_finished()) {
                if interrupted.load(Ordering::Relaxed) {
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
                Ok(answer) if answer.status == 200 && answer.is_ours(TARGET) => {
                    self.done.lock().registered += 1;
                    return;
                }
                Ok(answer) if answer.status < 500 && answer.is_ours(TARGET) => {
                    let unauthorised = matches!(answer.status, 401 | 403);
                    return self.refused(entry, &answer.reason(), unauthorised);
                }
                Ok(answer) if answer.is_ours(TARGET) || answer.status >= 500 => {
                    format!("the server answers {}: {}", answer.status, answer.reason())
                }
                Ok(answer) => {
                    let text = format!("the server is not inventor ({}: {})", answer.status, answer.reason());
                    return self.end(Failure::Unavailable(text));
                }
                Err(e) => format!("no answer from {e}"),
            };
            if attempt == TRIES {
                return self.end(Failure::Unavailable(problem));
            }
            // Ends early if everything stops meanwhile.
            let end = Instant::now() + pause;
            while Instant::now() < end && !self.stop.load(Ordering::Relaxed) {
                thread::sleep(GLANCE);
            }
            pause *= 2;
        }
    }

    fn refused(&self, entry: &Entry, reason: &str, unauthorised: bool) {
        let token = if unauthorised { "the token is not accepted for this: " } else { "" };
        let mut done = self.done.lock();
        done.refusals.add(&entry.targets.join(","), &format!("{token}{reason}"));
        done.unauthorised += usize::from(unauthorised);
        let is_hopeless = unauthorised && done.unauthorised >= UNAUTHORISED_MAX && done.registered == 0;
        drop(done);
        if is_hopeless {
            self.end(Failure::Refused(
                "the server does not accept this token; check INVENTOR_TOKEN or the token file".into(),
            ));
        }
    }

    /// Stops everything. Only the first reason counts.
    fn end(&self, failure: Failure) {
        self.done.lock().failure.get_or_insert(failure);
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// The time between two lines without a terminal.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// Shows the progress: a bar on a terminal, a line every 10 s elsewhere.
struct Progress {
    total: usize,
    /// `None` without a terminal.
    bar: Option<ProgressBar>,
    next_line: Instant,
}

impl Progress {
    fn new(total: usize) -> Progress {
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {rate}/s, {eta} left");
        let rate = |state: &ProgressState, text: &mut dyn fmt::Write| {
            // Writing to the text of a bar cannot fail.
            let _ = write!(text, "{:.0}", state.per_sec());
        };
        let style = style.map(|style| style.with_key("rate", rate));
        let bar = style.ok().filter(|_| io::stderr().is_terminal());
        let bar = bar.map(|style| ProgressBar::new(total as u64).with_style(style));
        Progress { total, bar, next_line: Instant::now() + BETWEEN_LINES }
    }

    fn show(&mut self, done: usize) {
        match &self.bar {
            Some(bar) => bar.set_position(done as u64),
            None if Instant::now() >= self.next_line => {
                tell(&format!("{done} of {}", self.total));
                self.next_line += BETWEEN_LINES;
            }
            None => {}
        }
    }

    fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

#[derive(Default)]
struct Sources {
    entries: Vec<Entry>,
    refusals: RefusedEntries,
    places: HashMap<TargetId, usize>,
}

/// Reads all sources before anything is registered.
fn read_sources(connection: &Api, command: &ImportCommand) -> Result<Sources, Failure> {
    let mut all = Sources::default();
    let is_url = |name: &str| name.starts_with("http://") || name.starts_with("https://");
    if command.source_token_file.is_some() && !command.sources.iter().any(|source| is_url(&source.to_string_lossy())) {
        return Err(Failure::Usage("--source-token-file: is for URLs, and there is none".to_owned()));
    }
    let token = command.source_token_file.clone().map(TokenSource::File);
    let token = token.map(|source| read_token("--source-token-file", &source)).transpose()?;
    for source in &command.sources {
        let name = source.to_string_lossy();
        let is_url = is_url(&name);
        let bytes = if is_url { get(connection, &name, token.as_ref())? } else { files::read(Path::new(source))? };
        let content = files::parse(&bytes, LabelNames::Utf8);
        drop(bytes);
        for fault in content.faults {
            match fault.entry {
                Some(number) => all.refusals.add(&format!("{name}: entry {number}"), &fault.reason),
                None => return Err(Failure::Usage(format!("{name}: {fault}"))),
            }
        }
        content.entries.into_iter().for_each(|entry| all.add(entry, &name, is_url));
    }
    all.places = HashMap::new();
    Ok(all)
}

fn get(connection: &Api, url: &str, token: Option<&Secret>) -> Result<Vec<u8>, Failure> {
    check_url("URL", url)?;
    let answer = connection.get_foreign(url, token).map_err(|e| Failure::Unavailable(format!("no answer from {e}")))?;
    match answer.status {
        200 if answer.is_page() => {
            Err(Failure::Unavailable(format!("{url} returns a page, not a list: {}", answer.reason())))
        }
        200 => Ok(answer.body),
        401 | 403 => Err(Failure::Refused(format!(
            "{url} answers {}: {}; --source-token-file names a file with the token for it",
            answer.status,
            answer.reason()
        ))),
        status => Err(Failure::Unavailable(format!("{url} answers {status}: {}", answer.reason()))),
    }
}

impl Sources {
    fn add(&mut self, entry: Entry, source: &str, is_list: bool) {
        // These labels have a meaning only in lists; in a file they are what somebody has registered.
        let entry = if is_list { from_list(entry) } else { entry };
        match self.places.entry(entry.id()) {
            Slot::Vacant(place) => {
                place.insert(self.entries.len());
                self.entries.push(entry);
            }
            Slot::Occupied(place) => {
                let known = &mut self.entries[*place.get()];
                if is_list && is_next_module(known, &entry) {
                    known.modules.extend(entry.modules);
                } else {
                    self.refusals
                        .add(&entry.targets.join(","), &format!("is there twice, the second time in {source}"));
                }
            }
        }
    }
}

/// Takes group and module from the labels in which lists show them.
fn from_list(mut entry: Entry) -> Entry {
    entry.labels.remove(ID_LABEL);
    if let Some(group) = entry.labels.remove(GROUP_LABEL) {
        entry.target_group.get_or_insert(group);
    }
    if entry.modules.is_empty() {
        entry.modules.extend(entry.labels.remove(MODULE_LABEL));
    }
    entry
}

/// Whether the second entry is the same registration with another module: lists show one entry for each.
fn is_next_module(known: &Entry, entry: &Entry) -> bool {
    !entry.modules.is_empty()
        && !known.modules.is_empty()
        && known.labels == entry.labels
        && known.target_group == entry.target_group
        && !known.modules.iter().any(|module| entry.modules.contains(module))
}

/// How many refused entries are named; the others are counted.
const SHOWN_MAX: usize = 20;

#[derive(Debug, Default)]
struct RefusedEntries {
    total: usize,
    shown: Vec<String>,
}

impl RefusedEntries {
    fn add(&mut self, what: &str, reason: &str) {
        self.total += 1;
        if self.shown.len() < SHOWN_MAX {
            self.shown.push(format!("{what}: {reason}"));
        }
    }

    fn tell(&self) {
        self.shown.iter().for_each(|refusal| tell(refusal));
        if self.total > self.shown.len() {
            tell(&format!("and {} more refused", self.total - self.shown.len()));
        }
    }
}
