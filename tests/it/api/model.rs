//! Thousands of random operations, each answer compared with a small model of what there should be.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{authorized, on_both_stores};
use crate::client::{Connection, Request, Response};

const OPERATIONS: usize = 1500;
const GROUPS: &[&str] = &["a", "b", "c d/e"];

#[derive(Debug, Clone, PartialEq)]
struct Entry {
    group: &'static str,
    labels: BTreeMap<&'static str, String>,
}

/// Whether a label, if there is one, meets a requirement with this value.
type Meets = fn(Option<&String>, &str) -> bool;

/// What there should be, by target.
type Model = BTreeMap<String, Entry>;

fn pick<'a, T>(random: &mut fastrand::Rng, from: &'a [T]) -> &'a T {
    &from[random.usize(..from.len())]
}

fn random_group(random: &mut fastrand::Rng) -> &'static str {
    GROUPS[random.usize(..GROUPS.len())]
}

fn random_target(random: &mut fastrand::Rng) -> String {
    format!("host-{}:1", random.usize(..40))
}

fn random_labels(random: &mut fastrand::Rng) -> BTreeMap<&'static str, String> {
    let names = ["env", "dc"].into_iter().filter(|_| random.bool()).collect::<Vec<_>>();
    names.into_iter().map(|name| (name, random.usize(..3).to_string())).collect()
}

struct Run {
    connection: Connection,
    random: fastrand::Rng,
    model: Model,
}

impl Run {
    fn send(&mut self, request: &Request) -> Response {
        self.connection.send(request)
    }

    /// Registers; some lifetimes are so short that only targets of a kind of their own have them.
    fn register(&mut self) {
        let is_mortal = self.random.usize(..8) == 0;
        let target = random_target(&mut self.random);
        let target = if is_mortal { format!("mortal-{target}") } else { target };
        let entry = Entry { group: random_group(&mut self.random), labels: random_labels(&mut self.random) };
        let ttl =
            if is_mortal { json!(1) } else { pick(&mut self.random, &[json!(null), json!(0), json!(600)]).clone() };
        let config =
            json!({"targets": [target], "target_group": entry.group, "labels": entry.labels, "ttl_seconds": ttl});
        let response = self.send(&authorized("PUT", "/target").body(json!({"static_config": config}).to_string()));
        response.has_status(200, &target);
        if !is_mortal {
            self.model.insert(target, entry);
        }
    }

    fn delete(&mut self) {
        let target = random_target(&mut self.random);
        let id = inventor::registration::TargetId::of(std::slice::from_ref(&target));
        let expected = if self.model.remove(&target).is_some() { 204 } else { 404 };
        self.send(&authorized("DELETE", &format!("/api/v1/registrations/{id}"))).has_status(expected, &target);
    }

    fn declare(&mut self) {
        let group = random_group(&mut self.random);
        let adopt = self.random.bool();
        let mut entries: Model = BTreeMap::new();
        for _ in 0..self.random.usize(..12) {
            let target = random_target(&mut self.random);
            entries.insert(target, Entry { group, labels: random_labels(&mut self.random) });
        }
        let body: Vec<Value> =
            entries.iter().map(|(target, entry)| json!({"targets": [target], "labels": entry.labels})).collect();
        let path =
            format!("/api/v1/groups/{}?allow_empty=true&adopt={adopt}", group.replace(' ', "%20").replace('/', "%2F"));
        let response = self.send(&authorized("PUT", &path).body(json!(body).to_string()));
        let elsewhere =
            |model: &Model| entries.keys().any(|target| model.get(target).is_some_and(|is| is.group != group));
        if elsewhere(&self.model) && !adopt {
            return response.has_status(409, &path);
        }
        response.has_status(200, &path);
        let counts = response.json();
        let count = |is: &dyn Fn(Option<&Entry>, &Entry) -> bool| {
            entries.iter().filter(|(target, entry)| is(self.model.get(*target), entry)).count()
        };
        assert_eq!(counts["created"], json!(count(&|was, _| was.is_none())));
        assert_eq!(counts["unchanged"], json!(count(&|was, is| was == Some(is))));
        assert_eq!(counts["updated"], json!(count(&|was, is| was.is_some_and(|was| was != is))));
        self.model.retain(|_, entry| entry.group != group);
        self.model.extend(entries);
    }

    /// What meets random criteria, and the query that asks for it.
    fn criteria(&mut self) -> (String, Vec<String>) {
        let group = self.random.bool().then(|| random_group(&mut self.random));
        let value = self.random.usize(..4).to_string();
        let (selector, meets): (String, Meets) = match self.random.usize(..5) {
            0 => (format!("env%3D{value}"), |is, value| is.is_some_and(|is| is == value)),
            1 => (format!("env!%3D{value}"), |is, value| is.is_none_or(|is| is != value)),
            2 => (format!("env+in+({value},9)"), |is, value| is.is_some_and(|is| is == value)),
            3 => ("!env".to_owned(), |is, _| is.is_none()),
            _ => ("env".to_owned(), |is, _| is.is_some()),
        };
        let query = group.map(|group| format!("group={}&", group.replace(' ', "+").replace('/', "%2F")));
        let expected = self.model.iter().filter(|(_, entry)| {
            group.is_none_or(|group| group == entry.group) && meets(entry.labels.get("env"), &value)
        });
        let expected = expected.map(|(target, _)| target.clone()).collect();
        (format!("{}selector={selector}", query.unwrap_or_default()), expected)
    }

    #[track_caller]
    fn check_list(&mut self, path: &str, expected: &[String]) {
        let response = self.send(&Request::new("GET", path));
        let mut found = super::listed(&response);
        found.retain(|target| !target.starts_with("mortal"));
        assert_eq!(found, expected, "{path}");
    }

    fn look(&mut self) {
        let (query, expected) = self.criteria();
        match self.random.usize(..4) {
            0 => {
                let all: Vec<String> = self.model.keys().cloned().collect();
                self.check_list("/discover", &all);
            }
            1 => self.check_pages(&query, &expected),
            _ => self.check_list(&format!("/sd?{query}"), &expected),
        }
    }

    fn check_pages(&mut self, query: &str, expected: &[String]) {
        let sort = *pick(&mut self.random, &["id", "-id", "target_group", "-expires_at", "updated_at"]);
        let limit = self.random.usize(1..20);
        let (mut found, mut token) = (Vec::new(), String::new());
        loop {
            let path = format!("/api/v1/registrations?limit={limit}&sort={sort}&{query}{token}");
            let page = self.send(&Request::new("GET", &path));
            page.has_status(200, &path);
            let page = page.json();
            let registrations = page["registrations"].as_array().expect("there is a page").iter();
            found.extend(registrations.map(|found| found["targets"][0].as_str().unwrap().to_owned()));
            match page["next_page_token"].as_str() {
                Some(next) => token = format!("&page_token={next}"),
                None => break,
            }
        }
        found.retain(|target| !target.starts_with("mortal"));
        found.sort();
        assert_eq!(found, expected, "{sort} {query}");
    }
}

#[test]
fn every_answer_is_what_a_small_model_says() {
    on_both_stores(|server| {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let random = fastrand::Rng::with_seed(seed);
        let mut run = Run { connection: server.connect(), random, model: Model::new() };
        for _ in 0..OPERATIONS {
            match run.random.usize(..10) {
                0..4 => run.register(),
                4 => run.delete(),
                5 => run.declare(),
                _ => run.look(),
            }
        }
    });
}
