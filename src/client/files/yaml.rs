//! YAML in and out. What is read becomes JSON, so that there is one reader of registrations.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize};
use serde_saphyr::Spanned;
use serde_saphyr::options::Options;

/// Nodes of a file: some ten for each of 500,000 registrations.
const NODES_MAX: usize = 5_000_000;

/// An entry. Typed, so that values such as `9100` and `yes` are the text that was written, as in Prometheus.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Item {
    #[serde(skip_serializing_if = "Option::is_none")]
    targets: Option<Vec<Option<String>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<BTreeMap<String, Option<String>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    modules: Option<Vec<Option<String>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    static_config: Option<Box<Wrapped>>,
}

/// What stands in `static_config`; others than these are ignored, as the server does.
#[derive(Deserialize, Serialize)]
struct Wrapped {
    targets: Option<Vec<Option<String>>>,
    labels: Option<BTreeMap<String, Option<String>>>,
    modules: Option<Vec<Option<String>>>,
    target_group: Option<String>,
    ttl_seconds: Option<u64>,
}

/// A document: a list of entries, one entry, or nothing; with the lines in which they begin.
struct Document(Vec<(Item, Option<usize>)>);

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Document, D::Error> {
        struct Items;
        impl<'de> Visitor<'de> for Items {
            type Value = Document;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of entries with targets and labels")
            }
            fn visit_unit<E: de::Error>(self) -> Result<Document, E> {
                Ok(Document(Vec::new()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Document, A::Error> {
                Item::deserialize(MapAccessDeserializer::new(map)).map(|item| Document(vec![(item, None)]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Document, A::Error> {
                let mut items = Vec::new();
                while let Some(Spanned { value, referenced, .. }) = list.next_element::<Spanned<Item>>()? {
                    items.push((value, usize::try_from(referenced.line()).ok().filter(|line| *line > 0)));
                }
                Ok(Document(items))
            }
        }
        deserializer.deserialize_any(Items)
    }
}

/// The entries of all documents as one JSON list, and the lines in which they begin.
pub(super) fn to_json(text: &str) -> Result<(String, Vec<Option<usize>>), String> {
    let documents: Vec<Document> = serde_saphyr::from_multiple_with_options(text, options()).map_err(first_line)?;
    let (items, lines): (Vec<Item>, _) = documents.into_iter().flat_map(|Document(items)| items).unzip();
    serde_json::to_string(&items).map(|json| (json, lines)).map_err(|e| e.to_string())
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 2 * NODES_MAX,
            max_nodes: NODES_MAX,
            max_total_scalar_bytes: 256 * 1024 * 1024,
        },
    }
}

/// The message alone; the lines of the file that follow it may hold anything.
fn first_line(error: serde_saphyr::Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().to_owned()
}
