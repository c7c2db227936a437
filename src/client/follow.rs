//! `follow`: keeps a list of the server in a file that Prometheus reads, so that Prometheus starts with its targets
//! even while the server is away. The file is replaced only as a whole and by a whole list.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};

use log::{info, warn};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use super::answer::Answer;
use super::connection::{ANSWER_BYTES_MAX, Api, ApiCall, WatchedAccess, header};
use super::output::{self, print_line};
use super::{Failure, text};
use crate::config::commands::{Access, FollowCommand};
use crate::files::{self, Stamp, Unfinished, stamp};
use crate::logging::News;
use crate::signals;
use crate::systemd;

/// How many new and lost targets are named on a terminal.
const NAMED_MAX: usize = 20;

/// A new file is readable by everybody, since Prometheus runs as another user.
const MODE: u32 = 0o644;

/// Keeps the file until a signal ends it.
///
/// # Errors
/// [`Failure`] if it cannot start. Once started, it goes on whatever happens.
pub(super) fn run(access: &Access, command: &FollowCommand) -> Result<(), Failure> {
    let watched = WatchedAccess::new(access);
    let connection = Api::new(access)?;
    if !command.list.starts_with('/') {
        return Err(Failure::Usage("--list: expected a path on the server, such as /sd?group=node".to_owned()));
    }
    let place = Place::of(&command.output)?;
    let (tell, signals) = mpsc::channel();
    let hear = move |signal| {
        // Nobody receives signals once the end has begun.
        let _ = tell.send(signal);
    };
    signals::forward(&[SIGTERM, SIGINT, SIGQUIT, SIGHUP], hear)
        .map_err(|e| Failure::Unavailable(format!("cannot handle signals: {e}")))?;
    info!(list:% = command.list, server = connection.url, output:% = command.output.display(); "follow started");
    let mut follower = Follower {
        access: watched,
        connection,
        list: &command.list,
        place,
        etag: None,
        known: None,
        fault: News::default(),
    };
    let mut is_asked_for = false;
    loop {
        follower.look(is_asked_for);
        is_asked_for = match signals.recv_timeout(command.interval) {
            Ok(SIGHUP) => true,
            Err(RecvTimeoutError::Timeout) => false,
            Ok(_) | Err(RecvTimeoutError::Disconnected) => break,
        };
    }
    systemd::stopping();
    info!("follow ended");
    Ok(())
}

struct Follower<'a> {
    access: WatchedAccess,
    connection: Api,
    list: &'a str,
    place: Place,
    /// The ETag of the list in the file.
    etag: Option<String>,
    /// The targets in the file; `None` before the first list.
    known: Option<BTreeSet<String>>,
    fault: News,
}

impl Follower<'_> {
    /// Requests the list, and replaces the file if the list has changed. First rereads token and certificates if they
    /// have changed, or if that is asked for.
    fn look(&mut self, is_asked_for: bool) {
        match self.access.look(is_asked_for) {
            Some(Ok(connection)) => self.connection = connection,
            Some(Err(reason)) => warn!(reason:%; "cannot reread the token and the certificates, keeping the old ones"),
            None => {}
        }
        if is_asked_for || !self.place.is_as_left() {
            self.etag = None;
        }
        match self.follow() {
            Ok(()) if self.fault.is_over() => info!(list:% = self.list; "the list is read again"),
            Ok(()) => {}
            Err(reason) => {
                if self.fault.is(&reason) {
                    warn!(list:% = self.list, reason:%; "no new list; the file stays as it is");
                }
            }
        }
    }

    fn follow(&mut self) -> Result<(), String> {
        let call = ApiCall::get(self.list).only(header::IF_NONE_MATCH, self.etag.as_deref());
        let answer = self.connection.send(&call).map_err(|e| e.to_string())?;
        match answer.status {
            304 if self.etag.is_some() => Ok(()),
            200 if answer.is("application/json") => self.take(answer),
            200 => Err(format!("{}: the answer is {:?}, not a list", self.connection.url, answer.content_type)),
            status => Err(format!("{}: {status}: {}", self.connection.url, answer.reason())),
        }
    }

    fn take(&mut self, answer: Answer) -> Result<(), String> {
        let targets = targets_of(&answer.body).map_err(|e| format!("{}: this is no list: {e}", self.connection.url))?;
        let content = if self.place.is_yaml { yaml(&answer.body)? } else { answer.body };
        let is_first = self.known.is_none();
        // Targets that an earlier run has written are known as well.
        let before = self.known.take().or_else(|| targets_of(&self.place.read().ok()??).ok());
        match self.place.keep(&content) {
            Ok(true) => self.tell(&before.unwrap_or_default(), &targets),
            Ok(false) => {}
            Err(e) => {
                (self.known, self.etag) = (before.filter(|_| !is_first), None);
                return Err(format!("{}: {e}", self.place.path.display()));
            }
        }
        (self.known, self.etag) = (Some(targets), answer.etag);
        if is_first {
            systemd::ready();
        }
        Ok(())
    }

    fn tell(&self, before: &BTreeSet<String>, now: &BTreeSet<String>) {
        let (come, gone) = (now.difference(before), before.difference(now));
        let (added, removed) = (come.clone().count(), gone.clone().count());
        info!(output:% = self.place.path.display(), targets = now.len(), added, removed; "file written");
        if io::stdout().is_terminal() {
            let lines = come.map(|target| format!("+ {target}")).chain(gone.map(|target| format!("- {target}")));
            lines.take(NAMED_MAX).for_each(|line| print_line(&text::line(&line)));
            if added + removed > NAMED_MAX {
                print_line(&format!("and {} more", added + removed - NAMED_MAX));
            }
        }
    }
}

struct Place {
    path: PathBuf,
    is_yaml: bool,
    left: Option<Stamp>,
}

impl Place {
    /// # Errors
    /// Prometheus would not read a file of this name, or none can be there.
    fn of(path: &Path) -> Result<Place, Failure> {
        let wrong = |reason: &str| Failure::Usage(format!("--output {}: {reason}", path.display()));
        // The extensions that file_sd takes.
        let is_yaml = match path.extension().and_then(|extension| extension.to_str()) {
            Some("json") => false,
            Some("yml" | "yaml") => true,
            _ => return Err(wrong("expected a name that ends with .json, .yml or .yaml")),
        };
        if !files::directory_of(path).is_dir() {
            return Err(wrong("there is no such directory"));
        }
        let place = Place { path: path.to_owned(), is_yaml, left: None };
        place.metadata().map_err(|e| wrong(&e.to_string()))?;
        Ok(place)
    }

    /// Whether the file is there as it was left.
    fn is_as_left(&self) -> bool {
        self.left.is_some() && self.metadata().is_ok_and(|now| now.as_ref().map(stamp) == self.left)
    }

    /// The content of the file; `None` if there is none.
    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        if self.metadata()?.is_none() {
            return Ok(None);
        }
        let (file, _) = files::open_regular(&self.path, ANSWER_BYTES_MAX)?;
        files::read_to_end(&file, ANSWER_BYTES_MAX).map(Some)
    }

    /// Makes the file hold this content. Returns whether it was different.
    fn keep(&mut self, content: &[u8]) -> io::Result<bool> {
        let before = self.metadata()?;
        // An unreadable file is replaced.
        let is_new = self.read().ok().flatten().as_deref() != Some(content);
        let now = match is_new {
            // If another process writes the same file, the next look notices it.
            true => Some(files::replace(&self.path, content, before.as_ref(), MODE, Unfinished::IsLeft)?),
            false => self.metadata()?,
        };
        self.left = now.as_ref().map(stamp);
        Ok(is_new)
    }

    /// The metadata of the file; `None` if there is none. A link is an error, because it could lead anywhere.
    fn metadata(&self) -> io::Result<Option<Metadata>> {
        match fs::symlink_metadata(&self.path) {
            Ok(metadata) if metadata.is_file() => Ok(Some(metadata)),
            Ok(metadata) if metadata.is_symlink() => Err(io::Error::other("is a link; name the file itself")),
            Ok(_) => Err(io::Error::other("is not a regular file")),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }
}

/// A target group. Prometheus refuses any other member.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct TargetGroup {
    #[serde(default)]
    targets: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
}

/// All targets of a list.
///
/// # Errors
/// It is not a list, or not a complete one.
fn targets_of(list: &[u8]) -> Result<BTreeSet<String>, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(list);
    let targets = reader.deserialize_seq(Targets)?;
    reader.end()?;
    Ok(targets)
}

/// Reads one group after the other, so that only the targets of a long list are kept.
struct Targets;

impl<'de> Visitor<'de> for Targets {
    type Value = BTreeSet<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of target groups")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut groups: A) -> Result<BTreeSet<String>, A::Error> {
        let mut targets = BTreeSet::new();
        while let Some(group) = groups.next_element::<TargetGroup>()? {
            targets.extend(group.targets);
        }
        Ok(targets)
    }
}

/// The list in YAML.
fn yaml(list: &[u8]) -> Result<Vec<u8>, String> {
    let groups: Vec<TargetGroup> = serde_json::from_slice(list).map_err(|e| e.to_string())?;
    Ok(output::yaml(&groups).map_err(|e| e.to_string())?.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_list_of_target_groups_is_one() {
        let known =
            |list: &str| targets_of(list.as_bytes()).ok().map(|targets| targets.into_iter().collect::<Vec<_>>());
        assert_eq!(known("[]\n"), Some(vec![]));
        let two = r#"[{"targets":["b:1","a:1"],"labels":{"x":"y"}},{"targets":["a:1"]}]"#;
        assert_eq!(known(two), Some(vec!["a:1".to_owned(), "b:1".to_owned()]));
        for wrong in [
            "",
            "{}",
            "null",
            r#"[{"targets":["a:1"]}"#,
            r#"[{"targets":["a:1"]}] []"#,
            r#"[{"targets":"a:1"}]"#,
            r#"[{"targets":[1]}]"#,
            r#"[{"targets":[],"labels":{"x":1}}]"#,
            r#"[{"targets":[],"source":"x"}]"#,
            "<html>",
        ] {
            assert_eq!(known(wrong), None, "{wrong}");
        }
    }
}
