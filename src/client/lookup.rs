//! `list`, `get`, `groups`, `status` and `export`: what the server holds.

use serde::Deserialize;
use serde_json::Value;

use super::Failure;
use super::connection::Connection;
use super::entry::{Entry, Put};
use super::output::{Output, cell, members};
use crate::config::commands::Filter;
use crate::registration::{DEFAULT_GROUP, parse_id};

/// Lists registrations.
pub(super) fn list(
    connection: &Connection,
    filter: &Filter,
    query: Option<&str>,
    output: Output,
) -> Result<(), Failure> {
    let mut registrations = Vec::new();
    connection.registrations(filter, query, |registration, _| {
        registrations.push(registration);
        Ok(())
    })?;
    const COLUMNS: [&str; 6] = ["id", "target_group", "targets", "labels", "modules", "expires_at"];
    let row = |registration: &Value| COLUMNS.iter().map(|column| cell(&registration[column])).collect();
    output.show(&registrations, &["ID", "GROUP", "TARGETS", "LABELS", "MODULES", "EXPIRES"], || {
        registrations.iter().map(row).collect()
    })
}

/// Shows one registration.
pub(super) fn get(connection: &Connection, id: &str, output: Output) -> Result<(), Failure> {
    let id = parse_id(id).map_err(|e| Failure::Usage(e.to_string()))?;
    match connection.registration(id)? {
        Some(registration) => output.show(&registration, &["", ""], || members(&registration)),
        None => Err(Failure::No(format!("there is no registration {id}; `inventor list` shows which there are"))),
    }
}

/// Lists the groups.
pub(super) fn groups(connection: &Connection, output: Output) -> Result<(), Failure> {
    const COLUMNS: [&str; 5] = ["name", "registrations", "targets", "last_updated_at", "next_expiry_at"];
    let groups = connection.groups()?;
    let row = |group: &Value| COLUMNS.iter().map(|column| cell(&group[column])).collect();
    output.show(&groups, &["GROUP", "REGISTRATIONS", "TARGETS", "LAST UPDATE", "NEXT EXPIRY"], || {
        groups.as_array().into_iter().flatten().map(row).collect()
    })
}

/// Shows how the server is doing.
pub(super) fn status(connection: &Connection, output: Output) -> Result<(), Failure> {
    let status = connection.status()?;
    output.show(&status, &["", ""], || members(&status))
}

/// A registration as the server lists it.
#[derive(Deserialize)]
pub(super) struct Listed {
    pub(super) targets: Vec<String>,
    #[serde(default)]
    labels: std::collections::BTreeMap<String, String>,
    target_group: String,
    #[serde(default)]
    modules: Vec<String>,
    ttl_seconds: Option<u64>,
}

impl From<Listed> for Entry {
    fn from(Listed { targets, labels, target_group, modules, ttl_seconds }: Listed) -> Entry {
        let target_group = Some(target_group).filter(|group| group != DEFAULT_GROUP);
        Entry { targets, labels, target_group, modules, ttl_seconds }
    }
}

/// Reads a registration as the server lists it.
pub(super) fn entry(listed: Value) -> Result<Entry, Failure> {
    let listed = serde_json::from_value::<Listed>(listed);
    listed.map(Entry::from).map_err(|e| Failure::Unavailable(format!("the list is not understood: {e}")))
}

/// Prints registrations as bodies of PUT, which say everything that makes them up.
pub(super) fn export(connection: &Connection, filter: &Filter, output: Output) -> Result<(), Failure> {
    // A lifetime that is the default was not asked for, or need not be asked for again.
    let default = connection.status()?["default_ttl_seconds"].as_u64();
    let mut entries = Vec::new();
    connection.registrations(filter, None, |listed, _| {
        let entry = entry(listed)?;
        entries.push(Entry { ttl_seconds: entry.ttl_seconds.filter(|ttl| Some(*ttl) != default), ..entry });
        Ok(())
    })?;
    let bodies: Vec<Put<'_>> = entries.iter().map(|entry| Put { static_config: entry }).collect();
    output.value(&bodies)
}
