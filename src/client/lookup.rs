//! `list`, `get`, `groups` and `export`: what the server holds.

use std::cmp::Ordering;

use serde_json::{Number, Value};

use super::connection::Api;
use super::entry::{Entry, Put};
use super::output::{Column, Output, cell, count, members};
use super::{Failure, times};
use crate::config::commands::{Field, Filter, GetCommand, GroupsCommand, ListCommand, SortFlag};
use crate::registration::parse_id;

/// The most of an id that a person needs to tell it from others.
const SHORT_ID_CHARS: usize = 8;

/// What a list shows unless it is told otherwise: the id last, since only programs ask for it.
const FIELDS: [Field; 6] = [Field::Targets, Field::Group, Field::Labels, Field::Modules, Field::Expires, Field::Id];

pub(super) fn list(connection: &Api, command: &ListCommand, output: Output) -> Result<(), Failure> {
    let ListCommand { filter, query, sort, limit, columns, .. } = command;
    // The order that the server knows saves asking for everything.
    let by_server = sort.first().filter(|_| sort.len() == 1 || limit.is_some()).and_then(SortFlag::on_server);
    let is_enough = |found: &[Value]| match limit {
        Some(limit) if by_server.is_some() && found.len() >= *limit => {
            // With more keys, all are needed that have the first one in common with the last that is shown.
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
    let headers: Vec<Column> = fields.iter().map(|field| column(*field)).collect();
    let row = |registration: &Value| fields.iter().map(|field| shown(*field, registration, output)).collect();
    output.show(&registrations, &headers, || registrations.iter().map(row).collect())?;
    if output.is_table() && output.is_terminal() && registrations.len() < total {
        super::output::tell(&format!("{} of {total} shown", registrations.len()));
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
            // What never expires does so last.
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
    match field {
        Field::Targets => Column::flexible("TARGETS"),
        Field::Group => Column::flexible("GROUP"),
        Field::Labels => Column::details("LABELS"),
        Field::Modules => Column::details("MODULES"),
        Field::Expires => Column::fixed("EXPIRES"),
        Field::Updated => Column::fixed("UPDATED"),
        Field::Ttl => Column::fixed("TTL"),
        Field::Id => Column::fixed("ID"),
    }
}

/// A field for people, who want to know how long; programs and `wide` get the whole of it.
fn shown(field: Field, registration: &Value, output: Output) -> String {
    let whole = !output.is_terminal();
    match field {
        Field::Expires if !whole => times::until(&registration["expires_at"]),
        Field::Updated if !whole => times::since(&registration["updated_at"]),
        Field::Ttl if !whole => registration["ttl_seconds"].as_u64().map(times::lifetime).unwrap_or_default(),
        Field::Id if !whole && !output.is_wide() => cell(&registration["id"]).chars().take(SHORT_ID_CHARS).collect(),
        field => cell(&registration[field.member()]),
    }
}

pub(super) fn get(connection: &Api, command: &GetCommand, output: Output) -> Result<(), Failure> {
    let id = parse_id(&command.id).map_err(|e| Failure::Usage(e.to_string()))?;
    match connection.read_or_none(&format!("/api/v1/registrations/{id}"), "id")? {
        Some(registration) => {
            output.show(&registration, &[Column::fixed(""), Column::fixed("")], || members(&registration))
        }
        None => Err(Failure::No(format!("there is no registration {id}; `inventor list` shows which there are"))),
    }
}

/// Lists the groups, or deletes one.
pub(super) fn groups(connection: &Api, command: &GroupsCommand, output: Output) -> Result<(), Failure> {
    if let Some(crate::config::commands::GroupAction::Delete { name }) = &command.action {
        return match connection.delete_group(name)? {
            Some(deleted) => output.show(&serde_json::json!({ "deleted": deleted }), &[Column::fixed("")], || {
                vec![vec![format!("{} deleted", count(deleted, "registration", "registrations"))]]
            }),
            None => {
                Err(Failure::No(format!("the group {name:?} has no registration; `inventor groups` shows which have")))
            }
        };
    }
    let groups = connection.read("/api/v1/groups", "groups")?["groups"].take();
    let mut columns = ["GROUP", "REGISTRATIONS", "TARGETS", "LAST UPDATE", "NEXT EXPIRY"].map(Column::fixed);
    columns[0] = Column::flexible("GROUP");
    let row = |group: &Value| {
        let (last, next) = (&group["last_updated_at"], &group["next_expiry_at"]);
        let times = match output.is_terminal() {
            true => [times::since(last), times::until(next)],
            false => [cell(last), cell(next)],
        };
        let [last, next] = times;
        vec![cell(&group["name"]), cell(&group["registrations"]), cell(&group["targets"]), last, next]
    };
    output.show(&groups, &columns, || groups.as_array().into_iter().flatten().map(row).collect())
}

/// Reads a registration as the server lists it.
pub(super) fn entry(listed: Value) -> Result<Entry, Failure> {
    let listed = serde_json::from_value::<Entry>(listed);
    listed.map_err(|e| Failure::Unavailable(format!("the list is not understood: {e}")))
}

/// Prints registrations as bodies of PUT, which say everything that makes them up.
pub(super) fn export(connection: &Api, filter: &Filter, output: Output) -> Result<(), Failure> {
    // A lifetime that is the default was not asked for, or need not be asked for again.
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
