//! `list`, `get`, `groups` and `export`: the registrations of the server.

use std::cmp::Ordering;

use serde_json::{Number, Value, json};

use super::Failure;
use super::connection::Api;
use super::files::{Entry, Put};
use super::output::{Column, Output, tell};
use super::text::{self, cell, count, short_id};
use crate::config::commands::{Field, Filter, GetCommand, GroupAction, GroupsCommand, ListCommand, SortFlag};
use crate::registration::parse_id;

/// The default columns of a list. The id is last, since only programs need it.
const FIELDS: [Field; 6] = [Field::Targets, Field::Group, Field::Labels, Field::Modules, Field::Expires, Field::Id];

pub(super) fn list(connection: &Api, command: &ListCommand, output: Output) -> Result<(), Failure> {
    let ListCommand { filter, query, sort, limit, columns, .. } = command;
    // An order that the server knows saves reading everything.
    let by_server = sort.first().filter(|_| sort.len() == 1 || limit.is_some()).and_then(SortFlag::on_server);
    let is_enough = |found: &[Value]| match limit {
        Some(limit) if by_server.is_some() && found.len() >= *limit => {
            // With more keys, all entries are needed that share the first key with the last one shown.
            let key = |one: &Value| one[sort[0].member()].clone();
            let last = limit.checked_sub(1).and_then(|at| found.get(at));
            sort.len() == 1 || last.map(key) != found.last().map(key)
        }
        _ => false,
    };
    let mut registrations = Vec::new();
    let mut total = 0;
    connection.registrations(filter, query.as_deref(), by_server.as_deref(), |registration, of| {
        total = of;
        registrations.push(registration);
        Ok(!is_enough(&registrations))
    })?;
    if by_server.is_none() || sort.len() > 1 {
        registrations.sort_by(|a, b| compare(sort, a, b));
    }
    registrations.truncate(limit.unwrap_or(usize::MAX));
    let fields: &[Field] = if columns.is_empty() { &FIELDS } else { columns };
    let columns: Vec<Column> = fields.iter().map(|field| column(*field)).collect();
    output.list(&registrations, &columns)?;
    if output.is_table() && output.is_terminal() && registrations.len() < total {
        tell(&format!("{} of {total} shown", registrations.len()));
    }
    Ok(())
}

fn compare(keys: &[SortFlag], a: &Value, b: &Value) -> Ordering {
    let by = |key: &SortFlag| {
        let name = key.member();
        let (one, other) = match key.is_descending {
            false => (&a[name], &b[name]),
            true => (&b[name], &a[name]),
        };
        match (one, other) {
            // A registration that never expires is last.
            (Value::Null, Value::Null) => Ordering::Equal,
            (Value::Null, _) => Ordering::Greater,
            (_, Value::Null) => Ordering::Less,
            (Value::Number(one), Value::Number(other)) => {
                // A lifetime of 0 seconds has no end.
                let seconds = |number: &Number| number.as_u64().filter(|seconds| *seconds > 0).unwrap_or(u64::MAX);
                seconds(one).cmp(&seconds(other))
            }
            (one, other) => cell(one).cmp(&cell(other)),
        }
    };
    keys.iter().map(by).find(|order| order.is_ne()).unwrap_or_else(|| cell(&a["id"]).cmp(&cell(&b["id"])))
}

fn column(field: Field) -> Column {
    let member = field.member();
    match field {
        Field::Targets => Column::flexible("TARGETS", member),
        Field::Group => Column::flexible("GROUP", member),
        Field::Labels => Column::details("LABELS", member),
        Field::Modules => Column::details("MODULES", member),
        Field::Expires => Column::fixed("EXPIRES", member).in_words(|one| text::until(&one["expires_at"])),
        Field::Updated => Column::fixed("UPDATED", member).in_words(|one| text::since(&one["updated_at"])),
        Field::Ttl => Column::fixed("TTL", member).in_words(|one| text::lifetime(&one["ttl_seconds"])),
        Field::Id => Column::fixed("ID", member).in_short(|one| short_id(&one["id"])),
    }
}

pub(super) fn get(connection: &Api, command: &GetCommand, output: Output) -> Result<(), Failure> {
    let id = parse_id(&command.id).map_err(|e| Failure::Usage(e.to_string()))?;
    match connection.read_or_none(&format!("/api/v1/registrations/{id}"), "id")? {
        Some(registration) => output.object(&registration),
        None => Err(Failure::No(format!("there is no registration {id}; `inventor list` shows all"))),
    }
}

const GROUP_COLUMNS: [Column; 5] = [
    Column::flexible("GROUP", "name"),
    Column::fixed("REGISTRATIONS", "registrations"),
    Column::fixed("TARGETS", "targets"),
    Column::fixed("LAST UPDATE", "last_updated_at").in_words(|group| text::since(&group["last_updated_at"])),
    Column::fixed("NEXT EXPIRY", "next_expiry_at").in_words(|group| text::until(&group["next_expiry_at"])),
];

pub(super) fn groups(connection: &Api, command: &GroupsCommand, output: Output) -> Result<(), Failure> {
    let Some(GroupAction::Delete { name }) = &command.action else {
        return output.list(&connection.list("/api/v1/groups", "groups")?, &GROUP_COLUMNS);
    };
    match connection.delete_group(name)? {
        Some(deleted) => output.show(&json!({ "deleted": deleted }), &[Column::fixed("", "")], || {
            vec![vec![format!("{} deleted", count(deleted, "registration", "registrations"))]]
        }),
        None => Err(Failure::No(format!("the group {name:?} has no registration; `inventor groups` shows all groups"))),
    }
}

pub(super) fn entry(listed: Value) -> Result<Entry, Failure> {
    let listed = serde_json::from_value::<Entry>(listed);
    listed.map_err(|e| Failure::Unavailable(format!("the list cannot be parsed: {e}")))
}

/// Prints registrations as bodies of PUT, which are complete.
pub(super) fn export(connection: &Api, filter: &Filter, output: Output) -> Result<(), Failure> {
    // The default lifetime need not be repeated.
    let default = connection.read("/api/v1/status", "store")?["default_ttl_seconds"].as_u64();
    let mut entries = Vec::new();
    connection.registrations(filter, None, None, |listed, _| {
        let entry = entry(listed)?.without_default_group();
        entries.push(Entry { ttl_seconds: entry.ttl_seconds.filter(|ttl| Some(*ttl) != default), ..entry });
        Ok(true)
    })?;
    let bodies: Vec<Put<'_>> = entries.iter().map(|entry| Put { static_config: entry }).collect();
    output.value(&bodies)
}
