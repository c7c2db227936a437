//! Where the next page begins, in a form that clients hand back as they got it.

use std::hash::{DefaultHasher, Hash, Hasher};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::registration::TargetId;
use crate::registry::{Criteria, Order, Place, SortValue};

/// The content of a token.
#[derive(Serialize, Deserialize)]
struct Token {
    /// Of the question that the page belongs to.
    question: u64,
    number: Option<u64>,
    text: Option<String>,
    id: [u8; 16],
}

/// A number for what is asked: the token of one question is none for another.
pub(super) fn question(criteria: &Criteria, words: &str, order: Order) -> u64 {
    let mut hasher = DefaultHasher::new();
    (criteria, words, order).hash(&mut hasher);
    hasher.finish()
}

/// The token for the page behind this place.
pub(super) fn encode(question: u64, place: Place) -> String {
    let Place { value, id } = place;
    let (number, text) = match value {
        SortValue::Number(number) => (Some(number), None),
        SortValue::Text(text) => (None, Some(text)),
    };
    let token = Token { question, number, text, id: id.to_bytes() };
    // Numbers and strings can always be written.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).unwrap_or_default())
}

/// The place in a token of this question; `None` when it is no such token.
pub(super) fn decode(question: u64, token: &str) -> Option<Place> {
    let token: Token = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    let value = match (token.number, token.text) {
        (Some(number), None) => SortValue::Number(number),
        (None, Some(text)) => SortValue::Text(text),
        _ => return None,
    };
    (token.question == question).then(|| Place { value, id: TargetId::from_bytes(token.id) })
}
