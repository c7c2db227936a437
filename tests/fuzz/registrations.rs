//! The parser of registrations: whatever it takes is fit to be scraped.

use inventor::registration::{LabelNames, Registration, TtlBounds};

use crate::{INPUTS, for_each_input};

const SEEDS: &[&[u8]] = &[
    br#"{"static_config":{"targets":["10.0.10.2:9100","[2001:db8::1]:9100"],"labels":{"job":"node","dc":"x"},"target_group":"g"}}"#,
    br#"{"static_config":{"targets":["a:1"],"labels":null,"modules":["node_exporter","ipmi_exporter"],"unknown":[1,2.5e3,true]}}"#,
    b"{\"Static_Config\":{\"TARGETS\":[\"z\xfcrich\",\"\\ud83d\\ude00\\ud800\\n\"],\"labels\":{\"a\":\"<&>\",\"a\":null}}}",
    br#" { "static_config" : { "targets" : [ "https://example.com/x?y=1" ] , "labels" : { } } } "#,
    br#"{"static_config":{"targets":["x"],"deep":[[[[[[[[[[{"a":{"b":{"c":[]}}}]]]]]]]]]]}}"#,
    br#"{"id":"3ebd7d3f-feb7-5a81-aa0d-89c9d0a516ed"}"#,
];

fn check(input: &[u8]) {
    for names in [LabelNames::Legacy, LabelNames::Utf8] {
        let Ok(registration) = Registration::parse(input, names, TtlBounds::default()) else { continue };
        assert!(!registration.targets().is_empty() && !registration.targets().iter().any(String::is_empty));
        assert!(!registration.group().is_empty());
        for (name, _) in registration.labels() {
            let legacy = name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric())
                && !name.starts_with(|first: char| first.is_ascii_digit());
            assert!(!name.is_empty() && (names == LabelNames::Utf8 || legacy), "{name:?}");
        }
        assert_eq!(registration.id(), registration.clone().id());
    }
}

#[test]
fn registrations_are_fit_to_be_scraped() {
    for_each_input("registrations", INPUTS, SEEDS, |input, _| check(input));
}
