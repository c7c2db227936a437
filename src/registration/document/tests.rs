//! The plain form of stored documents against the decoder.

use std::time::{Duration, SystemTime};

use fastrand::Rng;

use super::*;
use crate::registration::{Registration, TargetId, TtlBounds};

type Read = Option<(Content, Option<SystemTime>)>;

fn plain(document: &[u8], names: LabelNames) -> Read {
    Content::of_plain(document, names).map(|(content, updated_at)| (content, whole_seconds(updated_at)))
}

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

#[test]
fn what_this_program_writes_in_ascii_is_plain_and_means_the_same() {
    let mut random = Rng::with_seed(15);
    for _ in 0..2_000 {
        let document = document(&mut random);
        let plain = plain(&document, LabelNames::Legacy);
        assert!(plain.is_some(), "{}", String::from_utf8_lossy(&document));
        assert_eq!(plain, decoded(&document, LabelNames::Legacy));
    }
}

/// What stands in documents.
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
        // Mostly near the end, where the time stands.
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
fn whatever_is_read_as_plain_means_the_same_to_the_decoder() {
    let mut random = Rng::with_seed(16);
    let mut count = 0;
    for _ in 0..30_000 {
        let mut document = document(&mut random);
        for _ in 0..random.usize(1..4) {
            let from = random.usize(..=document.len());
            let to = (from + random.usize(..4)).min(document.len());
            document.splice(from..to, PIECES[random.usize(..PIECES.len())].iter().copied());
        }
        for names in [LabelNames::Legacy, LabelNames::Utf8] {
            if let Some(read) = plain(&document, names) {
                assert_eq!(Some(read), decoded(&document, names), "{}", String::from_utf8_lossy(&document));
                count += 1;
            }
        }
    }
    assert!(count > 1_500, "{count}: the mutations are too hard to show anything");
}

#[test]
fn what_is_too_large_when_shown_is_not_read_as_plain() {
    let modules = vec![r#""m""#; 100].join(",");
    for (target_bytes, is_plain, is_fit) in [(5_000, true, true), (10_300, false, true), (11_000, false, false)] {
        let (id, target) = (TargetId::NIL, "a".repeat(target_bytes));
        let document = format!(
            r#"{{"id":"{id}","targets":["{target}"],"labels":{{}},"target_group":"g","modules":[{modules}],"updated_at":"1"}}"#
        );
        let plain = plain(document.as_bytes(), LabelNames::Legacy);
        let decoded = decoded(document.as_bytes(), LabelNames::Legacy);
        assert_eq!((plain.is_some(), decoded.is_some()), (is_plain, is_fit), "{target_bytes}");
        assert!(plain.is_none() || plain == decoded);
    }
}
