//! The rules, each a question to sources that is answered by its faults.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};

use super::sources::{Meaning, Module, Source, Sources, has_ignore};

const FILE_LINES_MAX: usize = 450;

/// What only the files whose path begins so may name.
const OWNERS: &[(&str, &[&str])] = &[
    ("tiny_http", &["src/http/server"]),
    ("httparse", &["src/http/gate"]),
    ("redb", &["src/store/embedded"]),
    ("redis", &["src/store/redis"]),
    ("std::env", &["src/config"]),
    ("dotenvy", &["src/config"]),
    ("clap", &["src/config"]),
    ("ureq", &["src/http_client", "src/client"]),
    ("std::process::exit", &[]),
];

/// Which modules each may know besides itself: main -> serve -> http -> registry -> store, and all know registration.
const KNOWS: &[(&str, &[&str])] = &[
    ("registration", &[]),
    ("files", &[]),
    ("tokens", &[]),
    ("signals", &[]),
    ("metrics", &[]),
    ("oneshot", &[]),
    ("turns", &[]),
    ("pem", &[]),
    ("store", &["registration", "metrics", "oneshot", "pem", "logging"]),
    ("registry", &["registration", "tokens", "metrics", "turns", "store"]),
    (
        "http",
        &["registration", "turns", "tokens", "metrics", "oneshot", "pem", "logging", "store", "registry", "endpoint"],
    ),
    ("endpoint", &[]),
    ("http_client", &["endpoint"]),
    ("client", &["registration", "files", "tokens", "pem", "signals", "logging", "config", "systemd", "http_client"]),
    (
        "config",
        &[
            "registration",
            "files",
            "tokens",
            "pem",
            "metrics",
            "logging",
            "store",
            "store::redis",
            "registry",
            "http",
            "endpoint",
        ],
    ),
    ("logging", &[]),
    ("systemd", &["endpoint", "http_client"]),
    (
        "serve",
        &[
            "files",
            "registration",
            "tokens",
            "metrics",
            "store",
            "store::embedded",
            "store::redis",
            "registry",
            "http",
            "config",
            "logging",
            "signals",
            "systemd",
            "endpoint",
        ],
    ),
    ("main", &["config", "logging", "http", "serve", "http_client", "systemd", "client"]),
];

/// Modules that are not known by whoever knows the module around them.
const ROOMS: &[&str] = &["store::embedded", "store::redis"];

pub(super) fn each_library_has_one_place(sources: &Sources) -> Vec<String> {
    let mut faults = BTreeSet::new();
    for source in &sources.0 {
        for mention in &source.mentions {
            let Meaning::Foreign(path) = sources.meaning(mention) else { continue };
            for (library, owners) in OWNERS {
                if is_of(&path, library) && !owners.iter().any(|owner| source.path.starts_with(owner)) {
                    faults.insert(format!("{}:{} uses {library}", source.path, mention.line));
                }
            }
        }
    }
    faults.into_iter().collect()
}

/// Whether the path leads to the library's part, or takes in all that is around it.
fn is_of(path: &[String], part: &str) -> bool {
    let mut path = path.iter();
    part.split("::").all(|segment| path.next().is_some_and(|next| next == segment || next == "*"))
}

pub(super) fn dependencies_have_one_direction(sources: &Sources) -> Vec<String> {
    let mut faults = BTreeSet::new();
    for source in &sources.0 {
        let Some(top) = source.module.first() else { continue };
        let Some((_, known)) = KNOWS.iter().find(|(name, _)| name == top) else {
            faults.insert(format!("{} belongs to no module of which it is said whom it may know", source.path));
            continue;
        };
        for mention in &source.mentions {
            let Meaning::Ours(module) = sources.meaning(mention) else { continue };
            let room = room(&module);
            if !room.is_empty() && module.first() != Some(top) && !known.contains(&room.as_str()) {
                faults.insert(format!("{}:{} knows {room}", source.path, mention.line));
            }
        }
    }
    faults.into_iter().collect()
}

/// What one has to be allowed in order to know this module; nothing for the root.
fn room(module: &Module) -> String {
    let path = module.join("::");
    let inner = ROOMS.iter().find(|room| path == **room || path.starts_with(&format!("{room}::")));
    inner.map_or_else(|| module.first().cloned().unwrap_or_default(), |room| (*room).to_owned())
}

/// Who knows whom among the parts of one folder, with a place where it shows.
type Knowledge = BTreeMap<(String, String), String>;

/// The parts of a folder are the file of the same name and, each with all below it, the modules in it. Two files that
/// know each other are a circle in the folder that holds both.
pub(super) fn nothing_goes_in_circles(sources: &Sources) -> Vec<String> {
    let mut folders: BTreeMap<&[String], Knowledge> = BTreeMap::new();
    for source in &sources.0 {
        for mention in source.mentions.iter().filter(|mention| !mention.is_reexport) {
            let Meaning::Ours(module) = sources.meaning(mention) else { continue };
            let Some(known) = sources.file_of(&module).filter(|known| known.module != source.module) else { continue };
            let common = source.module.iter().zip(&known.module).take_while(|(one, other)| one == other).count();
            let folder = &source.module[..common];
            let part = |module: &[String]| module.get(common).cloned().unwrap_or_else(|| own_file(folder));
            let place = format!("{}:{} knows {}", source.path, mention.line, known.path);
            let pair = (part(&source.module), part(&known.module));
            folders.entry(folder).or_default().entry(pair).or_insert(place);
        }
    }
    folders.into_iter().flat_map(|(folder, knowledge)| circles(folder, &knowledge)).collect()
}

fn own_file(folder: &[String]) -> String {
    format!("{}.rs", folder.last().map_or("lib", String::as_str))
}

fn circles(folder: &[String], knowledge: &Knowledge) -> Vec<String> {
    let mut circles: BTreeSet<BTreeSet<&String>> = BTreeSet::new();
    for (from, _) in knowledge.keys() {
        let there = reached(from, knowledge);
        let circle: BTreeSet<_> = there.into_iter().filter(|to| reached(to, knowledge).contains(from)).collect();
        if !circle.is_empty() {
            circles.insert(circle);
        }
    }
    let describe = |circle: BTreeSet<&String>| {
        let members: Vec<&str> = circle.iter().map(|member| member.as_str()).collect();
        let inside = knowledge.iter().filter(|((from, to), _)| circle.contains(from) && circle.contains(to));
        let places: String = inside.map(|(_, place)| format!("\n    {place}")).collect();
        format!("src/{}: {} know each other{places}", folder.join("/"), members.join(", "))
    };
    circles.into_iter().map(describe).collect()
}

/// The parts that one gets to from here.
fn reached<'a>(from: &str, knowledge: &'a Knowledge) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::new();
    let mut waiting = vec![from];
    while let Some(next) = waiting.pop() {
        for (_, to) in knowledge.keys().filter(|(from, _)| from == next) {
            if reached.insert(to) {
                waiting.push(to);
            }
        }
    }
    reached
}

pub(super) fn files_are_short_and_say_what_they_hold(source: &Source) -> Vec<String> {
    let mut faults = Vec::new();
    let lines = source.text.lines().count();
    if lines > FILE_LINES_MAX {
        faults.push(format!("{} has {lines} lines", source.path));
    }
    if !source.text.starts_with("//! ") {
        faults.push(format!("{} does not open with what it holds", source.path));
    }
    faults
}

/// A comment says what the name does not: meaning, unit, limit, reason, source.
pub(super) fn comments_say_more_than_names(source: &Source) -> Vec<String> {
    let mut reader = Restating { path: &source.path, owner: String::new(), faults: Vec::new() };
    reader.visit_file(&source.syntax);
    reader.faults
}

/// Words that add nothing to a name.
const FILLERS: &[&str] = &[
    "a", "all", "an", "and", "are", "as", "be", "for", "has", "have", "in", "is", "it", "its", "of", "on", "some",
    "that", "the", "there", "they", "this", "to", "what", "which", "who", "whose",
];

struct Restating<'a> {
    path: &'a str,
    /// The type around a field or a variant.
    owner: String,
    faults: Vec<String>,
}

impl Restating<'_> {
    fn check(&mut self, attributes: &[syn::Attribute], name: &syn::Ident) {
        let lines: Vec<String> = attributes.iter().filter_map(doc).collect();
        let comment = lines.join(" ");
        let known = [words(&name.to_string()), words(&self.owner)].concat();
        let said = words(&comment);
        let restates = |word: &String| FILLERS.contains(&word.as_str()) || known.contains(word);
        if !said.is_empty() && said.iter().all(restates) {
            self.faults.push(format!("{}:{} only restates {name}", self.path, name.span().start().line));
        }
    }
}

/// The text of a comment.
fn doc(attribute: &syn::Attribute) -> Option<String> {
    let syn::Meta::NameValue(pair) = &attribute.meta else { return None };
    match &pair.value {
        syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) if pair.path.is_ident("doc") => {
            Some(text.value())
        }
        _ => None,
    }
}

/// The words of a name or a sentence in lower case, without the `s` of plurals and verbs.
fn words(text: &str) -> Vec<String> {
    let mut split = String::new();
    for c in text.chars() {
        split.extend(c.is_uppercase().then_some(' '));
        split.push(if c.is_alphanumeric() { c.to_ascii_lowercase() } else { ' ' });
    }
    split
        .split_whitespace()
        .map(|word| if word.len() > 3 { word.trim_end_matches('s') } else { word }.to_owned())
        .collect()
}

impl<'ast> Visit<'ast> for Restating<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        match item {
            syn::Item::Const(item) => self.check(&item.attrs, &item.ident),
            syn::Item::Enum(item) => self.check(&item.attrs, &item.ident),
            syn::Item::Fn(item) => self.check(&item.attrs, &item.sig.ident),
            syn::Item::Static(item) => self.check(&item.attrs, &item.ident),
            syn::Item::Struct(item) => self.check(&item.attrs, &item.ident),
            syn::Item::Type(item) => self.check(&item.attrs, &item.ident),
            syn::Item::Trait(item) => self.check(&item.attrs, &item.ident),
            _ => {}
        }
        let owner = match item {
            syn::Item::Enum(item) => item.ident.to_string(),
            syn::Item::Struct(item) => item.ident.to_string(),
            syn::Item::Trait(item) => item.ident.to_string(),
            _ => String::new(),
        };
        let around = std::mem::replace(&mut self.owner, owner);
        visit::visit_item(self, item);
        self.owner = around;
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if let Some(name) = &field.ident {
            self.check(&field.attrs, name);
        }
        visit::visit_field(self, field);
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        self.check(&variant.attrs, &variant.ident);
        visit::visit_variant(self, variant);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.check(&function.attrs, &function.sig.ident);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        self.check(&function.attrs, &function.sig.ident);
        visit::visit_trait_item_fn(self, function);
    }
}

pub(super) fn no_test_is_left_out(source: &Source) -> Vec<String> {
    let mut reader = LeftOut(false);
    reader.visit_file(&source.syntax);
    if reader.0 { vec![format!("{} leaves a test out", source.path)] } else { Vec::new() }
}

struct LeftOut(bool);

impl<'ast> Visit<'ast> for LeftOut {
    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        self.0 |= attribute.path().is_ident("ignore");
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.0 |= has_ignore(item.tokens.clone());
    }
}
