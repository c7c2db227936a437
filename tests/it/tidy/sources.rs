//! Sources as the compiler sees them: which module each file is, and every path that it names, whether in a `use`, in
//! code or in a macro, followed through renames and re-exports to where the thing is defined.

use std::collections::HashMap;

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// Longer than any chain of re-exports; ends those that lead back to themselves.
const REEXPORTS_MAX: usize = 16;

/// A module's place in the crate: `["http", "gate"]`; the root is empty.
pub(super) type Module = Vec<String>;

/// A file of source text, parsed.
pub(super) struct Source {
    /// Relative to the root of the project.
    pub(super) path: String,
    pub(super) text: String,
    pub(super) module: Module,
    pub(super) syntax: syn::File,
    pub(super) mentions: Vec<Mention>,
    imports: HashMap<(Module, String), Spelling>,
}

/// A path as it is written somewhere.
pub(super) struct Mention {
    pub(super) line: usize,
    /// The module around it, which may be one of those inside of a file.
    module: Module,
    spelling: Spelling,
    /// `pub use`: what is passed on is not thereby used.
    pub(super) is_reexport: bool,
}

#[derive(Clone)]
struct Spelling {
    segments: Vec<String>,
    /// `::redis` is the library, whatever else has that name.
    from_root: bool,
    /// In a `use` a name alone is a module or a library, elsewhere it may be anything.
    is_use: bool,
}

/// What a path means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Something defined in this module of ours.
    Ours(Module),
    /// Something of a library; the path begins with the library's name.
    Foreign(Vec<String>),
    /// A name that is neither imported nor a module's: a variable, a type of the same file.
    Local,
}

impl Source {
    pub(super) fn parse(path: &str, text: &str) -> Source {
        let syntax = syn::parse_file(text).unwrap_or_else(|e| panic!("{path}: {e}"));
        let module = module_of(path);
        let mut reader = Reader { module: module.clone(), mentions: Vec::new(), imports: HashMap::new() };
        reader.visit_file(&syntax);
        let Reader { mentions, imports, .. } = reader;
        Source { path: path.to_owned(), text: text.to_owned(), module, syntax, mentions, imports }
    }
}

/// `src/http/gate.rs` is `["http", "gate"]`. `src/main.rs` is a crate of its own, shown as a module beside the others.
fn module_of(path: &str) -> Module {
    let path = path.strip_prefix("src/").unwrap_or(path).trim_end_matches(".rs");
    if path == "lib" { Module::new() } else { path.split('/').map(str::to_owned).collect() }
}

/// All sources of the crate.
pub(super) struct Sources(pub(super) Vec<Source>);

impl Sources {
    /// The file in which a module stands: its own, or that of a module around it.
    pub(super) fn file_of(&self, module: &[String]) -> Option<&Source> {
        let around = self.0.iter().filter(|source| module.starts_with(&source.module));
        around.max_by_key(|source| source.module.len())
    }

    pub(super) fn meaning(&self, mention: &Mention) -> Meaning {
        self.resolve(&mention.module, &mention.spelling, REEXPORTS_MAX)
    }

    fn resolve(&self, within: &[String], spelling: &Spelling, depth: usize) -> Meaning {
        let Some((first, rest)) = spelling.segments.split_first() else { return Meaning::Local };
        // Alone it is a value, or says in a macro who may see something.
        let is_alone = rest.is_empty() && ["crate", "inventor", "self", "super"].contains(&first.as_str());
        if depth == 0 || is_alone {
            return Meaning::Local;
        }
        if spelling.from_root {
            return Meaning::Foreign(spelling.segments.clone());
        }
        match first.as_str() {
            // The binary calls the library by its name.
            "crate" | "inventor" => self.descend(&[], rest, depth),
            "self" if rest[0] == "super" => self.resolve(within, &spelling.without_first(), depth),
            "self" => self.descend(within, rest, depth),
            "super" => {
                let around = &within[..within.len().saturating_sub(1)];
                match rest[0].as_str() {
                    "super" => self.resolve(around, &spelling.without_first(), depth),
                    _ => self.descend(around, rest, depth),
                }
            }
            _ => self.by_name(within, spelling, depth),
        }
    }

    /// A path that begins with a name: imported, a module inside, a library, or something of the same file.
    fn by_name(&self, within: &[String], spelling: &Spelling, depth: usize) -> Meaning {
        let segments = &spelling.segments;
        if let Some(import) = self.import(within, &segments[0]) {
            return self.resolve(within, &with_rest(import, &segments[1..]), depth - 1);
        }
        if segments.len() == 1 && !spelling.is_use {
            return Meaning::Local;
        }
        let child = child(within, &segments[0]);
        if self.is_module(&child) {
            return self.descend(&child, &segments[1..], depth);
        }
        let is_library = segments[0].starts_with(|c: char| c.is_ascii_lowercase());
        if is_library { Meaning::Foreign(segments.to_vec()) } else { Meaning::Local }
    }

    /// Follows a path from a module down to where its last name is defined.
    fn descend(&self, from: &[String], path: &[String], depth: usize) -> Meaning {
        let Some((next, rest)) = path.split_first() else { return Meaning::Ours(from.to_vec()) };
        let child = child(from, next);
        if self.is_module(&child) {
            return self.descend(&child, rest, depth);
        }
        match self.import(from, next) {
            Some(import) => self.resolve(from, &with_rest(import, rest), depth - 1),
            None => Meaning::Ours(from.to_vec()),
        }
    }

    fn is_module(&self, module: &[String]) -> bool {
        self.0.iter().any(|source| source.module.starts_with(module))
    }

    fn import(&self, module: &[String], name: &str) -> Option<&Spelling> {
        let key = (module.to_vec(), name.to_owned());
        let import = self.file_of(module)?.imports.get(&key)?;
        // `use json::Value` beside `mod json`, and `use redis` itself, do not stand for another path.
        (import.segments != [name]).then_some(import)
    }
}

fn child(module: &[String], name: &str) -> Module {
    [module, &[name.to_owned()]].concat()
}

fn with_rest(import: &Spelling, rest: &[String]) -> Spelling {
    Spelling { segments: [&import.segments, rest].concat(), ..*import }
}

impl Spelling {
    fn without_first(&self) -> Spelling {
        Spelling { segments: self.segments[1..].to_vec(), ..*self }
    }
}

/// Collects the paths of a file.
struct Reader {
    module: Module,
    mentions: Vec<Mention>,
    imports: HashMap<(Module, String), Spelling>,
}

impl Reader {
    fn mention(&mut self, line: usize, spelling: Spelling, is_reexport: bool) {
        self.mentions.push(Mention { line, module: self.module.clone(), spelling, is_reexport });
    }

    /// Takes a `use` apart: `a::{b, c as d}` imports `a::b` as `b` and `a::c` as `d`.
    fn import(&mut self, tree: &syn::UseTree, before: &Spelling, is_reexport: bool) {
        let (last, name) = match tree {
            syn::UseTree::Path(path) => {
                let before = with_rest(before, &[path.ident.to_string()]);
                return self.import(&path.tree, &before, is_reexport);
            }
            syn::UseTree::Group(group) => {
                return group.items.iter().for_each(|item| self.import(item, before, is_reexport));
            }
            syn::UseTree::Glob(glob) => {
                let spelling = with_rest(before, &["*".to_owned()]);
                return self.mention(glob.star_token.spans[0].start().line, spelling, is_reexport);
            }
            syn::UseTree::Name(name) => (&name.ident, &name.ident),
            syn::UseTree::Rename(rename) => (&rename.ident, &rename.rename),
        };
        // `use a::b::{self}` imports `a::b` as `b`.
        let spelling = if last == "self" && !before.segments.is_empty() {
            before.clone()
        } else {
            with_rest(before, &[last.to_string()])
        };
        let name = if name == "self" { spelling.segments.last().cloned() } else { Some(name.to_string()) };
        self.imports.insert((self.module.clone(), name.unwrap_or_default()), spelling.clone());
        self.mention(last.span().start().line, spelling, is_reexport);
    }

    /// Finds paths in what a macro is given, which is not parsed.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut segments = Vec::new();
        let (mut line, mut from_root) = (0, false);
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Punct(punct)
                    if punct.as_char() == ':' && (punct.spacing() == Spacing::Joint || colons == 1) =>
                {
                    colons += 1;
                }
                TokenTree::Ident(ident) => {
                    if colons != 2 || segments.is_empty() {
                        self.tokens_end(line, &mut segments, from_root);
                        (line, from_root) = (ident.span().start().line, colons == 2);
                    }
                    segments.push(ident.to_string());
                    colons = 0;
                }
                other => {
                    self.tokens_end(line, &mut segments, from_root);
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.tokens(group.stream());
                    }
                }
            }
        }
        self.tokens_end(line, &mut segments, from_root);
    }

    fn tokens_end(&mut self, line: usize, segments: &mut Vec<String>, from_root: bool) {
        if !segments.is_empty() {
            self.mention(line, Spelling { segments: std::mem::take(segments), from_root, is_use: false }, false);
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    /// A rare spelling, such as `use {::a, b}`, is not parsed by `syn`.
    fn visit_item(&mut self, item: &'ast syn::Item) {
        match item {
            syn::Item::Verbatim(tokens) => self.tokens(tokens.clone()),
            item => visit::visit_item(self, item),
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let before = Spelling { segments: Vec::new(), from_root: item.leading_colon.is_some(), is_use: true };
        let is_reexport = !matches!(item.vis, syn::Visibility::Inherited);
        self.import(&item.tree, &before, is_reexport);
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        let spelling = Spelling { segments: vec![item.ident.to_string()], from_root: true, is_use: true };
        self.mention(item.ident.span().start().line, spelling, false);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    /// `pub(super)` says who may know this, not whom it knows.
    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let line = path.segments.first().map_or(0, |first| first.ident.span().start().line);
        self.mention(line, Spelling { segments, from_root: path.leading_colon.is_some(), is_use: false }, false);
        visit::visit_path(self, path);
    }

    /// `#[derive(a::B)]`: what is between the brackets is not parsed.
    fn visit_meta_list(&mut self, meta: &'ast syn::MetaList) {
        visit::visit_meta_list(self, meta);
        self.tokens(meta.tokens.clone());
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        visit::visit_macro(self, item);
        self.tokens(item.tokens.clone());
    }
}

/// Whether what a macro is given holds `#[ignore]`.
pub(super) fn has_ignore(tokens: TokenStream) -> bool {
    let mut after_hash = false;
    tokens.into_iter().any(|token| {
        let found = match &token {
            TokenTree::Group(group) => {
                let first = group.stream().into_iter().next();
                let is_ignore = first.is_some_and(|first| first.to_string() == "ignore");
                after_hash && group.delimiter() == Delimiter::Bracket && is_ignore || has_ignore(group.stream())
            }
            _ => false,
        };
        after_hash = matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '#');
        found
    })
}
