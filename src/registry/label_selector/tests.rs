//! Selectors in random spellings, compared with the simplest evaluation.

use std::collections::BTreeMap;

use super::*;

const NAMES: &[&str] = &["a", "in", "notin", "_x1", "Env"];
const VALUES: &[&str] = &["", "a", "b c", "x=y", "!", "==", "in", "a,b", "(", ")", "\"", "\\", "\\\"", "ü\u{1f600}"];

/// A requirement as the test understands it.
#[derive(Debug)]
struct Rule {
    name: &'static str,
    operator: &'static str,
    values: Vec<&'static str>,
}

impl Rule {
    fn random() -> Rule {
        let operator = pick(&["=", "==", "!=", "in", "notin", "exists", "absent"]);
        let count = if matches!(operator, "in" | "notin") { fastrand::usize(1..4) } else { 1 };
        Rule { name: pick(NAMES), operator, values: (0..count).map(|_| pick(VALUES)).collect() }
    }

    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(self.name);
        let listed = value.is_some_and(|value| self.values.contains(&value.as_str()));
        match self.operator {
            "=" | "==" | "in" => listed,
            "!=" | "notin" => !listed,
            "exists" => value.is_some(),
            _ => value.is_none(),
        }
    }

    fn spelt(&self) -> String {
        let Rule { name, operator, values } = self;
        let values: Vec<String> = values.iter().map(|value| spelt(value)).collect();
        match *operator {
            "exists" => format!("{}{name}{}", blanks(), blanks()),
            "absent" => format!("{}!{}{name}{}", blanks(), blanks(), blanks()),
            "in" | "notin" => {
                // A list of one empty value looks like an empty list.
                let values = if values.len() == 1 && values[0].is_empty() { vec!["\"\"".to_owned()] } else { values };
                let list: Vec<String> = values.iter().map(|value| format!("{}{value}{}", blanks(), blanks())).collect();
                format!("{name} {}{operator}{}({})", blanks(), blanks(), list.join(","))
            }
            _ => format!("{name}{}{operator}{}{}{}", blanks(), blanks(), values[0], blanks()),
        }
    }
}

fn pick(from: &[&'static str]) -> &'static str {
    from[fastrand::usize(..from.len())]
}

fn blanks() -> &'static str {
    pick(&["", " ", "  "])
}

/// A value in quotes, or without if possible.
fn spelt(value: &str) -> String {
    let needs_quotes = value.contains(['(', ')', ',', '"']) || value.starts_with('=');
    if needs_quotes || fastrand::bool() {
        format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        value.to_owned()
    }
}

fn random_labels() -> BTreeMap<String, String> {
    let names = NAMES.iter().filter(|_| fastrand::bool());
    names.map(|name| ((*name).to_owned(), pick(VALUES).to_owned())).collect()
}

#[test]
fn selectors_mean_what_the_plainest_evaluation_says() {
    for _ in 0..20_000 {
        let rules: Vec<Rule> = (0..fastrand::usize(1..4)).map(|_| Rule::random()).collect();
        let text = rules.iter().map(Rule::spelt).collect::<Vec<_>>().join(",");
        let selector = LabelSelector::parse(&text).unwrap_or_else(|e| panic!("{text:?}: {e}"));
        for _ in 0..4 {
            let labels = random_labels();
            let expected = rules.iter().all(|rule| rule.holds(&labels));
            assert_eq!(selector.matches(|name| labels.get(name).map(Cow::from)), expected, "{text:?} on {labels:?}");
        }
    }
}

#[test]
fn the_spelling_does_not_matter() {
    let same = ["a=b,!c", "!c,a==b", " a in (b) , ! c ", "a in (\"b\"),!c,!c", "a = \"b\",!c"];
    for text in same {
        assert_eq!(LabelSelector::parse(text), LabelSelector::parse(same[0]), "{text}");
    }
}

#[test]
fn what_is_no_selector_is_refused_at_its_place() {
    for (text, at) in [
        ("", 1),
        ("  ", 3),
        (",", 1),
        ("a,", 3),
        ("a,,b", 3),
        ("1a", 1),
        ("a-b", 2),
        ("ü=x", 1),
        ("!", 2),
        ("!a=b", 3),
        ("a b", 3),
        ("a in", 5),
        ("a in ()", 7),
        ("a in ( )", 8),
        ("a in (x", 8),
        ("a in (x))", 9),
        ("a inx", 5),
        ("a=b(c", 4),
        ("a=b\"c", 4),
        ("a=\"b\"c", 6),
        ("a=\"b", 5),
        ("a=\"\\n\"", 5),
        ("a=(b)", 3),
    ] {
        let error = LabelSelector::parse(text).expect_err(text);
        assert_eq!(error.at, at, "{text:?}: {error}");
    }
}

#[test]
fn nothing_makes_the_parser_panic() {
    let pieces = ["a", "in", "notin", " ", "=", "!", "==", "(", ")", ",", "\"", "\\", "ü", "\u{1f600}", "1", "\0"];
    for _ in 0..50_000 {
        let text: String = (0..fastrand::usize(..12)).map(|_| pick(&pieces)).collect();
        let _ = LabelSelector::parse(&text);
    }
}
