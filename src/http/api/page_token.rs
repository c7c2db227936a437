//! Where the next page begins, in a form that clients hand back as they got it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::registration::TargetId;
use crate::registry::{Criteria, Order, Position, SortValue};

/// The content of a token.
#[derive(Serialize, Deserialize)]
struct Token {
    /// Of the question that the page belongs to.
    question: u64,
    /// Numbers and texts, as the place has them.
    values: Vec<Value>,
    id: [u8; 16],
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Value {
    Number(u64),
    Text(String),
}

/// A number for what is asked: a token is valid for its own question only.
pub(super) fn question(criteria: &Criteria, words: &str, expire_within: Option<Duration>, order: &Order) -> u64 {
    let mut hasher = DefaultHasher::new();
    (criteria, words, expire_within, order).hash(&mut hasher);
    hasher.finish()
}

/// The token for the page behind this place.
pub(super) fn encode(question: u64, place: Position) -> String {
    let value = |value| match value {
        SortValue::Number(number) => Value::Number(number),
        SortValue::Text(text) => Value::Text(text),
    };
    let token = Token { question, values: place.values.into_iter().map(value).collect(), id: place.id.to_bytes() };
    // Numbers and strings can always be written.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).unwrap_or_default())
}

/// The place in a token of this question; `None` when it is no such token.
pub(super) fn decode(question: u64, token: &str) -> Option<Position> {
    let token: Token = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    let value = |value| match value {
        Value::Number(number) => SortValue::Number(number),
        Value::Text(text) => SortValue::Text(text),
    };
    let values = token.values.into_iter().map(value).collect();
    (token.question == question).then(|| Position { values, id: TargetId::from_bytes(token.id) })
}
