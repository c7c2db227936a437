//! Ids equal the Go program's to the byte, however the target list is spelt.

use crate::server::Server;

/// Target lists as sent, and the ids that the Go program gave them.
const IDS: &[(&[u8], &str)] = &[
    (br#"["10.0.10.2:9100"]"#, "3ebd7d3f-feb7-5a81-aa0d-89c9d0a516ed"),
    (
        br#"["10.0.10.2:9100","10.0.10.3:9100","10.0.10.4:9100","10.0.10.5:9100"]"#,
        "363a1359-6bbf-5b44-a9e0-d66b01f8e353",
    ),
    (br#" [ "10.0.40.2:9093" , "10.0.40.3:9093" ] "#, "ddb6a67c-1983-5a9c-b7d3-f0419579ffbc"),
    (br#"["host.local:9999"]"#, "c2d5f5cb-943f-57e5-9d4c-b7bca627fca2"),
    (br#"["a:1"]"#, "7214ebb0-ab3e-513a-bafe-fb6b460c2cfa"),
    (br#"["\u0061\u003A1"]"#, "7214ebb0-ab3e-513a-bafe-fb6b460c2cfa"),
    (br#"["a:1","b:1"]"#, "ea9cdeed-4a13-5f04-99db-4487b775ede0"),
    (br#"["b:1","a:1"]"#, "ab8c487f-9fd5-59ec-9189-f2f698333033"),
    (br#"["a:1","a:1"]"#, "d9e1c7dc-f19a-5f69-a5a1-f8038ad7c8fa"),
    (br#"["a,b"]"#, "3fb62841-c682-5460-9191-036ebb1b4562"),
    (br#"["a","b"]"#, "bd4c1fe6-dea7-51ca-b3f3-2a90b4817ead"),
    (br#"["[2001:db8::1]:9100"]"#, "03a37c58-d830-5e19-acd2-fc5faff851cd"),
    (br#"["https://example.com/x?y=1&z=<2>"]"#, "85af0f2c-9260-58d1-b383-8abd1dfd4a07"),
    (br#"["https:\/\/example.com\/x?y=1&z=<2>"]"#, "85af0f2c-9260-58d1-b383-8abd1dfd4a07"),
    (br#"["<a>&b"]"#, "c622e56c-b28c-5f2b-89ce-f3addf241dcd"),
    (br#"["\u003ca\u003e\u0026b"]"#, "c622e56c-b28c-5f2b-89ce-f3addf241dcd"),
    (br#"["\"\\/"]"#, "49ed5597-ce4b-5277-bc84-543fdb2a52b7"),
    (r#"["zürich:1"]"#.as_bytes(), "7c4a7d84-b265-5e12-aae6-e27e0dc61ba6"),
    (br#"["z\u00fcrich:1"]"#, "7c4a7d84-b265-5e12-aae6-e27e0dc61ba6"),
    ("[\"\u{1f600}\"]".as_bytes(), "15df9dc1-fc60-5de4-aae0-5b7382830416"),
    (br#"["\ud83d\ude00"]"#, "15df9dc1-fc60-5de4-aae0-5b7382830416"),
    ("[\"\u{2028}\u{2029}\"]".as_bytes(), "8c525664-484b-586b-9d8b-e4e6b09e25e9"),
    (br#"["\u2028\u2029"]"#, "8c525664-484b-586b-9d8b-e4e6b09e25e9"),
    (br#"["a\u0000b"]"#, "5d978154-f7d2-5964-a58c-d8cf79cda34c"),
    (b"[\"z\xFCrich\"]", "a80f43bd-1ee9-5c6d-9aa1-3febadd1f117"),
    (b"[\"a\xE2\x82b\"]", "4171f98a-0fe1-5c1c-af96-a697a77e9db7"),
    (b"[\"a\\ufffd\\ufffdb\"]", "4171f98a-0fe1-5c1c-af96-a697a77e9db7"),
    (br#"["a\ud800b"]"#, "77ec07e2-ee0c-5f6e-937b-494b891c2d60"),
    (b"[\"a\xFFb\"]", "77ec07e2-ee0c-5f6e-937b-494b891c2d60"),
];

#[test]
fn each_target_list_has_the_id_that_the_go_program_gives_it() {
    let server = Server::start(&[]);
    for (targets, id) in IDS {
        let body = [br#"{"static_config":{"targets":"#, *targets, b"}}"].concat();
        let response = server.put(&body);
        response.has_status(200, String::from_utf8_lossy(targets));
        assert_eq!(response.text(), format!("{{\"id\":\"{id}\"}}\n"), "{}", String::from_utf8_lossy(targets));
    }
}

#[test]
fn control_characters_are_spelt_as_go_spells_them() {
    let server = Server::start(&[]);
    let escapes: String = (0..0x20).map(|c| format!("\\u{c:04X}")).collect();
    let id = server.register(format!(r#"{{"static_config":{{"targets":["{escapes}"]}}}}"#));
    assert_eq!(id, "0f99a085-5bee-5a81-9ffe-01917be6314e");
}

#[test]
fn ill_formed_utf_8_is_replaced_byte_by_byte() {
    let server = Server::start(&[]);
    let id_of = |target: &[u8]| server.register([br#"{"static_config":{"targets":[""#, target, b"\"]}}"].concat());
    for (ill_formed, replacements) in [
        (b"\xE2\x82".as_slice(), 2),
        (b"\xF0\x9F\x98", 3),
        (b"\xED\xA0\x80", 3),
        (b"\xC0\xAF", 2),
        (b"\xF4\x90\x80\x80", 4),
        (br"\ud800", 1),
        (br"\udcfc", 1),
        (br"\udcfc\ud800", 2),
    ] {
        assert_eq!(
            id_of(ill_formed),
            id_of("\u{fffd}".repeat(replacements).as_bytes()),
            "{}",
            ill_formed.escape_ascii()
        );
    }
    assert_eq!(id_of(br"\ud800\ud83d\ude00"), id_of("\u{fffd}\u{1f600}".as_bytes()));
}

#[test]
fn the_id_depends_on_the_targets_alone() {
    let server = Server::start(&[]);
    for config in [
        r#""labels":{"a":"b"}"#,
        r#""target_group":"g""#,
        r#""modules":["m"]"#,
        r#""id":"3ebd7d3f-feb7-5a81-aa0d-89c9d0a516ed""#,
    ] {
        let id = server.register(format!(r#"{{"static_config":{{"targets":["a:1"],{config}}}}}"#));
        assert_eq!(id, "7214ebb0-ab3e-513a-bafe-fb6b460c2cfa", "{config}");
    }
}
