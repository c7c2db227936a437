//! Clients who register and delete what is theirs alone, and look after each write whether the list agrees.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::client::Request;
use crate::outages::UNSEEN_MAX;
use crate::tally::{Work, Wrong};
use crate::users::{TTL, Users, ask, put, shown, target_id};

/// Registrations of each writer.
const OWN: usize = 20;

/// How much is remembered of what was asked, to be told when something is wrong.
const ASKED_MAX: usize = 4;

/// How long what was confirmed is looked for: well within its lifetime.
const LOOKED_FOR: Duration = Duration::from_secs(TTL.as_secs() / 2);

/// One client of the API, with registrations that are its own.
pub(crate) struct Writer<'a> {
    users: &'a Users,
    server: SocketAddr,
    group: String,
    dice: Rng,
    revision: u64,
    /// What is known of each registration, and since when: its revision, or that there is none. Not here when it is not
    /// known how the last write ended.
    known: BTreeMap<usize, (Option<u64>, Instant)>,
    /// What was last asked about each, and answered.
    asked: BTreeMap<usize, VecDeque<String>>,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(users: &'a Users, server: SocketAddr, number: usize) -> Writer<'a> {
        let dice = Rng::with_seed(users.seed ^ (number as u64 + 1));
        let (known, asked) = Default::default();
        Writer { users, server, group: format!("writer{number}"), dice, revision: 0, known, asked }
    }

    /// Writes until the run ends.
    pub(crate) fn write_on(mut self) {
        while self.users.goes_on() {
            self.users.work(|| {
                self.write();
                if self.users.is_durable {
                    self.look();
                }
            });
        }
    }

    fn name(&self, n: usize) -> String {
        format!("{}-{n}", self.group)
    }

    /// Registers or deletes one of its own.
    fn write(&mut self) {
        let n = self.dice.usize(..OWN);
        let name = self.name(n);
        self.known.remove(&n);
        self.revision += 1;
        let delete = || Request::new("DELETE", "/target").token().body(format!(r#"{{"id":"{}"}}"#, target_id(&name)));
        let (request, now) = match self.dice.u64(..6) {
            0 => (delete(), None),
            _ => (put(&name, &self.group, self.revision), Some(self.revision)),
        };
        let begun = self.users.tally.at();
        let answer = ask(self.server, &request);
        let asked = self.asked.entry(n).or_default();
        asked.push_back(format!("{now:?} from {begun} to {}: {answer:?}", self.users.tally.at()));
        asked.drain(..asked.len().saturating_sub(ASKED_MAX));
        match answer {
            Some((status, _)) if status == 200 || status == 404 && now.is_none() => {
                self.users.tally.count(Work::Confirmed);
                if now.is_some() || self.deletion_is_final() {
                    self.known.insert(n, (now, Instant::now()));
                }
                return;
            }
            Some((503, _)) | None => {}
            Some(other) => self.users.tally.note(Wrong::AcknowledgedLost, format!("a write is answered by {other:?}")),
        }
        self.users.tally.count(Work::Refused);
        thread::sleep(Duration::from_millis(20));
    }

    /// What was deleted at one server while another is not back from an outage may be put back by that one.
    fn deletion_is_final(&self) -> bool {
        let seen = self.users.outages.seen();
        self.users.is_alone() || !seen.is_on && seen.ended.elapsed() > UNSEEN_MAX
    }

    /// Everything that was confirmed is shown, and nothing that was deleted.
    fn look(&mut self) {
        let asked = Instant::now();
        let request = Request::new("GET", &format!("/group?name={}", self.group));
        let Some((200, list)) = ask(self.server, &request) else { return };
        let shown = shown(&list).unwrap_or_default();
        let mut lost = Vec::new();
        for (n, (revision, since)) in &self.known {
            let is = shown.get(&self.name(*n)).copied();
            // What was registered longer ago may have expired.
            let may_be_over = revision.is_some() && is.is_none() && asked.duration_since(*since) > LOOKED_FOR;
            if is != *revision && !may_be_over {
                let what = format!("{} is {is:?}, not {revision:?} after {:?}", self.name(*n), self.asked.get(n));
                self.users.tally.note(Wrong::AcknowledgedLost, what);
                lost.push(*n);
            }
        }
        self.known.retain(|n, _| !lost.contains(n));
    }
}
