//! Values found in documents and contents without decoding, compared with the decoder.

use std::time::{Duration, SystemTime};

use fastrand::Rng;

use super::*;
use crate::registration::{Registration, TargetId, TtlBounds};

type Read = Option<(Content, Option<SystemTime>)>;

fn decoded(document: &[u8], names: LabelNames) -> Read {
    let document = Document::decode(document).ok()?;
    let updated_at = document.updated_at();
    Some((Content::new(&document.into_registration(names).ok()?), updated_at))
}

fn document(random: &mut Rng) -> Vec<u8> {
    let mut some = |texts: &[&str]| texts[random.usize(..texts.len())].to_owned();
    let targets = some(&[r#""a:1""#, r#""host.example.net:9100","[2001:db8::1]:9100""#, r#""a","a","a""#]);
    let labels =
        some(&["", r#","labels":{}"#, r#","labels":null"#, r#","labels":{"env":"","Team":"x y","a_1":"{}[],:'"}"#]);
    let group = some(&["", r#","target_group":"web""#, r#","target_group":"{}""#]);
    let modules = some(&["", r#","modules":["if_mib"]"#, r#","modules":["a","b"]"#]);
    let ttl = some(&["", r#","ttl_seconds":0"#, r#","ttl_seconds":3600"#, r#","ttl_seconds":9223372036"#]);
    let body = format!(r#"{{"static_config":{{"targets":[{targets}]{labels}{group}{modules}{ttl}}}}}"#);
    let registration = Registration::parse(body.as_bytes(), LabelNames::Legacy, TtlBounds::default()).unwrap();
    let updated_at = SystemTime::UNIX_EPOCH + Duration::from_secs(random.u64(..1 << 33));
    Content::new(&registration).document(registration.id(), updated_at)
}

/// Parts of documents.
const PIECES: [&[u8]; 26] = [
    b"\"",
    b"\"\"",
    b",",
    b":",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\\",
    b"\\u0041",
    b"<",
    b"\n",
    b"\xc3\xa9",
    b"\xff",
    b"null",
    b" ",
    b"0",
    b"9",
    b"-",
    b"+",
    b"a",
    b"Z",
    b",\"b\"",
    b"\"b\":\"c\",",
    b",\"modules\":[\"m\"]",
    b"x-y",
];

#[test]
fn a_document_of_known_content_means_what_it_means_to_the_decoder() {
    let mut random = Rng::with_seed(17);
    let mut count = 0;
    for _ in 0..20_000 {
        let mut document = document(&mut random);
        let id = Document::decode(&document).unwrap().id.unwrap();
        let (content, updated_at) = decoded(&document, LabelNames::Legacy).unwrap();
        assert_eq!(content.written_in(&document, id), Some(updated_at));
        assert_eq!(content.written_in(&document, TargetId::NIL), None);
        // Mostly near the end, where the time is.
        let last = if random.bool() { 40 } else { document.len() };
        let from = document.len() - random.usize(..=last);
        let to = (from + random.usize(..4)).min(document.len());
        document.splice(from..to, PIECES[random.usize(..PIECES.len())].iter().copied());
        if let Some(updated_at) = content.written_in(&document, id) {
            assert_eq!(Some((content, updated_at)), decoded(&document, LabelNames::Legacy));
            count += 1;
        }
    }
    assert!(count > 150, "{count}: the mutations are too hard to show anything");
}

#[test]
fn a_label_is_found_by_its_name_alone() {
    let values = ["", "plain", "b", "\"b\":\"", "\\", "\\\"", "a\",\"b\":\"x", "<ü\u{1f600}>", "{,:}"];
    let names = ["a", "b", "ab", "_", "a_b"];
    for (at, first) in values.iter().enumerate() {
        let labels: std::collections::BTreeMap<&str, &str> =
            names.iter().enumerate().map(|(n, name)| (*name, values[(at + n) % values.len()])).collect();
        let body = serde_json::json!({"static_config": {"targets": ["a:1"], "labels": labels}}).to_string();
        let registration = Registration::parse(body.as_bytes(), LabelNames::Legacy, TtlBounds::default()).unwrap();
        let content = Content::new(&registration);
        for (name, value) in &labels {
            assert_eq!(content.label(name).as_deref(), Some(*value), "{name} beside {first:?}");
        }
        for absent in ["", "x", "plain", "A", "ab_"] {
            assert_eq!(content.label(absent), None, "{absent} beside {first:?}");
        }
    }
    let bare =
        Registration::parse(br#"{"static_config":{"targets":["a:1"]}}"#, LabelNames::Legacy, TtlBounds::default());
    assert_eq!(Content::new(&bare.unwrap()).label("a"), None);
}
