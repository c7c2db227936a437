//! `status`, `pollers`, `changes` and `problems`: how the server is doing, who polls, what happens, and what is wrong.

use std::thread;
use std::time::Duration;

use form_urlencoded::Serializer;
use serde_json::{Value, json};

use super::Failure;
use super::connection::Api;
use super::output::{Column, Output, is_closed, print_line, tell};
use super::text::{self, cell, count, short_id};
use crate::config::commands::ChangesCommand;

const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// The most changes that the server returns.
const CHANGES_MAX: usize = 1000;

/// The most problems of a kind that a person is shown.
const PROBLEMS_SHOWN_MAX: usize = 50;

/// Shows how the server is doing: a summary for people, everything for programs.
pub(super) fn status(connection: &Api, output: Output) -> Result<(), Failure> {
    let status = connection.read("/api/v1/status", "store")?;
    if !output.is_table() || !output.is_terminal() {
        return output.object(&status);
    }
    output.table(&[Column::fixed("", ""), Column::flexible("", "")], summary(connection, &status)?);
    Ok(())
}

fn summary(connection: &Api, status: &Value) -> Result<Vec<Vec<String>>, Failure> {
    let row = |name: &str, text: String| vec![name.to_owned(), text];
    let number = |name: &str| status[name].as_u64().and_then(|number| usize::try_from(number).ok()).unwrap_or_default();
    let started = text::since(&status["started_at"]);
    let store = &status["store"];
    let stale = text::lifetime(&store["stale_seconds"]);
    let health = match store["healthy"].as_bool() {
        Some(true) => "well".to_owned(),
        _ if store["loaded"] == json!(false) => {
            format!("NOT WELL: {}; no registration has been loaded yet", cell(&store["reason"]))
        }
        _ => format!("NOT WELL for {stale}: {}; lists are the last good ones", cell(&store["reason"])),
    };
    let expiring = ["5m", "1h", "6h"].map(|time| format!("{} within {time}", cell(&status["expiring"][time])));
    let expiring = format!("{}, unless they are renewed", expiring.join(", "));
    let lifetime = text::lifetime(&status["default_ttl_seconds"]);
    let mut rows = vec![
        row("Server", format!("inventor {} at {}, started {started}", cell(&status["version"]), connection.url)),
        row("Store", format!("{}, {health}", cell(&store["kind"]))),
        row(
            "Registered",
            format!(
                "{} in {}, {}",
                count(number("registrations"), "registration", "registrations"),
                count(number("groups"), "group", "groups"),
                count(number("addresses"), "address", "addresses")
            ),
        ),
        row("Lifetime", format!("{lifetime} unless they say otherwise")),
        row("Expiring", expiring),
    ];
    match connection.list("/api/v1/pollers", "pollers") {
        Ok(pollers) => {
            let late: Vec<&Value> = pollers.iter().filter(|poller| is_late(poller)).collect();
            let total = count(pollers.len(), "poller", "pollers");
            rows.push(row("Polled by", format!("{total} within the hour, {} late", late.len())));
            for poller in late {
                let seen = text::since(&poller["last_seen"]);
                let who = [&poller["client"], &poller["address"], &poller["path"]].map(cell).join(" ");
                rows.push(row("  late", format!("{who}, last seen {seen}")));
            }
        }
        // For tokens that see everything.
        Err(Failure::Refused(_)) => {}
        Err(failure) => return Err(failure),
    }
    let wrong = match (number("quarantined"), number("duplicates"), number("label_problems")) {
        (0, 0, 0) => "nothing".to_owned(),
        (quarantined, duplicates, labels) => format!(
            "{quarantined} stored and left out of the lists, {} in several registrations, {} that Prometheus does not \
             take; see `inventor problems`",
            count(duplicates, "address", "addresses"),
            count(labels, "label", "labels")
        ),
    };
    rows.push(row("Wrong", wrong));
    Ok(rows)
}

const POLLER_COLUMNS: [Column; 8] = [
    Column::fixed("CLIENT", "client"),
    Column::flexible("ADDRESS", "address"),
    Column::details("PATH", "path"),
    Column::fixed("EVERY", "refresh_interval_seconds").in_words(|poller| {
        let seconds = poller["refresh_interval_seconds"].as_f64();
        let every = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        every.map(text::duration).unwrap_or_default()
    }),
    Column::fixed("SEEN", "last_seen").in_words(|poller| text::since(&poller["last_seen"])),
    Column::fixed("STATUS", "last_status"),
    Column::fixed("POLLS", "polls"),
    Column::fixed("LATE", "late").shown(|poller| if is_late(poller) { "late".to_owned() } else { String::new() }),
];

fn is_late(poller: &Value) -> bool {
    poller["late"] == json!(true)
}

pub(super) fn pollers(connection: &Api, output: Output) -> Result<(), Failure> {
    output.list(&connection.list("/api/v1/pollers", "pollers")?, &POLLER_COLUMNS)
}

/// Lists the changes, and with `follow` all later ones.
pub(super) fn changes(connection: &Api, command: &ChangesCommand, output: Output) -> Result<(), Failure> {
    let path = |limit: usize| {
        let mut parameters = Serializer::new(String::new());
        parameters.append_pair("limit", &limit.to_string());
        parameters.extend_pairs(command.group.iter().map(|group| ("target_group", group)));
        parameters.extend_pairs(command.id.iter().map(|id| ("id", id)));
        format!("/api/v1/changes?{}", parameters.finish())
    };
    let read = |limit: usize| connection.list(&path(limit), "changes");
    // As in logs, the newest are last.
    let mut first = read(if command.follow { CHANGES_MAX } else { command.limit })?;
    let mut known = first.clone();
    first.truncate(command.limit);
    first.reverse();
    if !command.follow {
        return output.list(&first, &CHANGE_COLUMNS);
    }
    let mut news = first;
    loop {
        for change in &news {
            match output.is_table() {
                true => print_line(&change_line(change, output)),
                false => print_line(&text::json(&change.to_string())),
            }
        }
        if is_closed() {
            return Ok(());
        }
        thread::sleep(BETWEEN_LOOKS);
        let now = match read(CHANGES_MAX) {
            Ok(now) => now,
            // When the server comes back, its changes may begin anew.
            Err(Failure::Unavailable(reason)) => {
                tell(&reason);
                news = Vec::new();
                continue;
            }
            Err(failure) => return Err(failure),
        };
        news = new_ones(&known, &now);
        known = now;
    }
}

/// The changes before the known ones, oldest first.
fn new_ones(known: &[Value], now: &[Value]) -> Vec<Value> {
    // Older changes never come back, so the known part is not longer than before.
    let is_known = |at: &usize| now.len() - at <= known.len() && known.starts_with(&now[*at..]);
    let new = (0..now.len()).find(is_known).unwrap_or(now.len());
    now[..new].iter().rev().cloned().collect()
}

const CHANGE_COLUMNS: [Column; 6] = [
    Column::fixed("AT", "at").in_short(|change| text::since(&change["at"])),
    Column::fixed("ACTION", "action"),
    Column::flexible("GROUP", "target_group"),
    Column::details("TARGETS", "targets").shown(|change| {
        let (shown, total) = (&change["targets"], change["targets_total"].as_u64().unwrap_or_default());
        let more = total.saturating_sub(shown.as_array().map_or(0, Vec::len) as u64);
        if more > 0 { format!("{} and {more} more", cell(shown)) } else { cell(shown) }
    }),
    Column::flexible("BY", "by"),
    Column::fixed("ID", "id").in_short(|change| short_id(&change["id"])),
];

/// A line of a growing list: columns cannot be aligned except for these, and times are absolute, because "just now"
/// soon becomes wrong.
fn change_line(change: &Value, output: Output) -> String {
    let mut row = output.row(change, &CHANGE_COLUMNS);
    row[0] = cell(&change["at"]);
    let row: Vec<String> = row.iter().map(|cell| text::line(cell)).collect();
    match output.is_terminal() {
        true => format!("{}  {:<10}  {}", row[0], row[1], row[2..].join("  ")),
        false => row.join("\t"),
    }
}

/// Shows problems: values left out of the lists, addresses registered more than once, and labels for which Prometheus
/// drops targets.
pub(super) fn problems(connection: &Api, output: Output) -> Result<(), Failure> {
    let quarantine = connection.read("/api/v1/quarantine", "quarantine")?;
    let duplicates = connection.read("/api/v1/duplicates", "duplicates")?;
    let labels = connection.read("/api/v1/problems", "problems")?;
    let problems = json!({ "quarantine": quarantine, "duplicates": duplicates, "labels": labels });
    let columns = [Column::fixed("PROBLEM", ""), Column::fixed("WHERE", ""), Column::details("WHAT", "")];
    let is_none = |found: &Value| found["total"].as_u64().unwrap_or_default() == 0;
    if [&quarantine, &duplicates, &labels].into_iter().all(is_none) && output.is_table() && output.is_terminal() {
        tell("Nothing is wrong.");
        return Ok(());
    }
    output.show(&problems, &columns, || {
        let most = if output.is_terminal() && !output.is_wide() { PROBLEMS_SHOWN_MAX } else { usize::MAX };
        let left_out = quarantine["quarantine"].as_array().into_iter().flatten().take(most).map(|one| {
            vec!["left out".to_owned(), cell(&one["id"]), format!("{} ({})", cell(&one["reason"]), cell(&one["value"]))]
        });
        let twice = duplicates["duplicates"].as_array().into_iter().flatten().take(most).map(|one| {
            let times = cell(&one["ids_total"]);
            vec![
                "repeated".to_owned(),
                cell(&one["address"]),
                format!("in {times} registrations of {}: {}", cell(&one["groups"]), cell(&one["ids"])),
            ]
        });
        let dropped = labels["problems"].as_array().into_iter().flatten().take(most).map(|one| {
            let [id, label, value, reason] = ["id", "label", "value", "reason"].map(|name| cell(&one[name]));
            vec!["not scraped".to_owned(), id, format!("{label}={value}: {reason}")]
        });
        left_out.chain(twice).chain(dropped).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_is_told_once_and_in_order() {
        let list = |text: &str| -> Vec<Value> { text.chars().map(|c| json!(c.to_string())).collect() };
        for (known, now, expected) in [
            ("cba", "edcba", "de"),
            ("", "ba", "ab"),
            ("aa", "aaaa", "aa"),
            ("dcb", "fedc", "ef"),
            ("cba", "cba", ""),
            ("cba", "", ""),
            ("cba", "yx", "xy"),
        ] {
            assert_eq!(new_ones(&list(known), &list(now)), list(expected), "{known} {now}");
        }
    }
}
