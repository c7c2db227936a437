//! Registrations of realistic shape, each a function of its number alone: host names, IPv4 and IPv6, three to eight
//! labels, groups whose sizes follow Zipf's law, a few with modules. Every run registers the same ones.

use std::net::Ipv6Addr;
use std::sync::LazyLock;
use std::time::SystemTime;

use fastrand::Rng;
use inventor::registration::{Content, LabelNames, Registration, TtlBounds};
use serde_json::{Map, Value, json};

/// How many groups share the registrations by Zipf's law.
const GROUPS: usize = 500;

/// A group of the same size whatever the number of registrations, to show that its polls do not depend on that.
pub(crate) const FIXED_GROUP: &str = "fixed-100";

/// How many registrations [`FIXED_GROUP`] has.
pub(crate) const FIXED_GROUP_LEN: usize = 100;

const TEAMS: [&str; 8] = ["payments", "search", "storage", "edge", "billing", "identity", "media", "platform"];
const REGIONS: [&str; 5] = ["eu-west-1", "eu-central-1", "us-east-1", "us-west-2", "ap-southeast-1"];
const ROLES: [&str; 6] = ["api", "worker", "database", "cache", "queue", "gateway"];
const PORTS: [u16; 5] = [9100, 9104, 9121, 9187, 8080];
const MODULES: [&str; 4] = ["node_exporter", "ipmi_exporter", "smartctl_exporter", "snmp_exporter"];

/// The largest group, the first in Zipf's order.
pub(crate) fn largest_group() -> String {
    group_name(0)
}

/// The body of the PUT for registration `number`. The version changes one label and leaves the targets,
/// and with them the id, as they are.
pub(crate) fn body(number: usize, version: u32) -> Vec<u8> {
    let mut random = Rng::with_seed(number as u64);
    let config = json!({
        "targets": targets(number, &mut random),
        "labels": labels(number, version, &mut random),
        "target_group": group(number, &mut random),
        "modules": modules(&mut random),
    });
    json!({ "static_config": config }).to_string().into_bytes()
}

/// Registration `number` as it is stored: the key and the value.
pub(crate) fn document(number: usize) -> (String, Vec<u8>) {
    let registration = Registration::parse(&body(number, 0), LabelNames::Legacy, TtlBounds::default())
        .expect("it is a valid registration");
    let id = registration.id();
    (id.to_string(), Content::new(&registration).document(id, SystemTime::now()))
}

fn group(number: usize, random: &mut Rng) -> String {
    // Drawn in any case, so that what is drawn next does not depend on the number.
    let rank = zipf(random.f64());
    if number < FIXED_GROUP_LEN { FIXED_GROUP.to_owned() } else { group_name(rank) }
}

fn group_name(rank: usize) -> String {
    format!("{}-{}-{rank:03}", TEAMS[rank % TEAMS.len()], ROLES[rank % ROLES.len()])
}

/// The rank that a number in 0..1 falls on when rank r has a share in proportion to 1 / (r + 1).
fn zipf(fraction: f64) -> usize {
    static ENDS: LazyLock<Vec<f64>> = LazyLock::new(|| {
        let shares = (1..=GROUPS).map(|rank| 1.0 / rank as f64);
        shares
            .scan(0.0, |sum, share| {
                *sum += share;
                Some(*sum)
            })
            .collect()
    });
    let point = fraction * ENDS[GROUPS - 1];
    ENDS.partition_point(|end| *end <= point).min(GROUPS - 1)
}

fn targets(number: usize, random: &mut Rng) -> Vec<String> {
    let count = if random.usize(..100) < 85 { 1 } else { 2 + random.usize(..3) };
    let port = PORTS[random.usize(..PORTS.len())];
    let kind = random.usize(..100);
    let region = REGIONS[random.usize(..REGIONS.len())];
    (0..count)
        .map(|at| match kind {
            0..50 => format!("node-{number:06}-{at}.rack{:02}.{region}.example.net:{port}", number % 40),
            50..85 => {
                format!("10.{}.{}.{}:{}", number >> 16, (number >> 8) & 255, number & 255, usize::from(port) + at)
            }
            _ => {
                let (high, low) = ((number >> 16) as u16, (number & 0xffff) as u16);
                let address = Ipv6Addr::new(0x2001, 0xdb8, 0x40, high, 0, 0, at as u16, low);
                format!("[{address}]:{port}")
            }
        })
        .collect()
}

fn labels(number: usize, version: u32, random: &mut Rng) -> Map<String, Value> {
    let mut labels = Map::new();
    labels.insert("__meta_datacenter".into(), format!("dc-{:02}", random.usize(..12)).into());
    labels.insert("env".into(), ["production", "staging", "test"][random.usize(..3)].into());
    labels.insert("version".into(), format!("4.{}.{version}", random.usize(..30)).into());
    let further: [(&str, String); 5] = [
        ("team", TEAMS[random.usize(..TEAMS.len())].into()),
        ("role", ROLES[random.usize(..ROLES.len())].into()),
        ("__meta_prometheus_job", ROLES[random.usize(..ROLES.len())].into()),
        ("instance_id", format!("i-{:016x}", (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))),
        ("owner", format!("{}-oncall@example.net", TEAMS[random.usize(..TEAMS.len())])),
    ];
    let count = random.usize(..further.len() + 1);
    labels.extend(further.into_iter().take(count).map(|(name, value)| (name.to_owned(), value.into())));
    labels
}

fn modules(random: &mut Rng) -> Vec<&'static str> {
    if random.usize(..100) < 3 { MODULES.iter().take(1 + random.usize(..3)).copied().collect() } else { Vec::new() }
}
