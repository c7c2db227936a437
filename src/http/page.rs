//! The page at `/`. Its files are part of the binary. The script and the style are joined from theirs, in this order;
//! their URL has a hash of everything, so that browsers may keep them for ever.

use std::io::Write;
use std::sync::LazyLock;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use uuid::Uuid;

use super::app::{App, Call};
use super::request::Request;
use super::response::{Body, Response};

/// The modules of the script: each knows only those before it. Names at the top of a module are unique among all.
const MODULES: &[&str] = &[
    include_str!("page/dom.js"),
    include_str!("page/words.js"),
    include_str!("page/events.js"),
    include_str!("page/theme.js"),
    include_str!("page/selector.js"),
    include_str!("page/views.js"),
    include_str!("page/state.js"),
    include_str!("page/server.js"),
    include_str!("page/filters.js"),
    include_str!("page/row.js"),
    include_str!("page/pages.js"),
    include_str!("page/list.js"),
    include_str!("page/groups.js"),
    include_str!("page/search.js"),
    include_str!("page/codes.js"),
    include_str!("page/panel.js"),
    include_str!("page/facets.js"),
    include_str!("page/empty.js"),
    include_str!("page/actions.js"),
    include_str!("page/renewals.js"),
    include_str!("page/pollers.js"),
    include_str!("page/registration.js"),
    include_str!("page/deletion.js"),
    include_str!("page/several.js"),
    include_str!("page/lifetime.js"),
    include_str!("page/effects.js"),
    include_str!("page/form.js"),
    include_str!("page/polling.js"),
    include_str!("page/configuration.js"),
    include_str!("page/changes.js"),
    include_str!("page/problems.js"),
    include_str!("page/frame.js"),
    include_str!("page/notices.js"),
    include_str!("page/tokens.js"),
    include_str!("page/yaml.js"),
    include_str!("page/declare.js"),
    include_str!("page/clicks.js"),
    include_str!("page/keys.js"),
    include_str!("page/app.js"),
];

const STYLES: &[&str] = &[
    include_str!("page/style/base.css"),
    include_str!("page/style/frame.css"),
    include_str!("page/style/list.css"),
    include_str!("page/style/panel.css"),
    include_str!("page/style/views.css"),
    include_str!("page/style/widths.css"),
];

const INDEX: &str = include_str!("page/index.html");
const FIRST_PAINT: &str = include_str!("page/first-paint.js");
const ICON: &str = include_str!("page/icon.svg");

/// Permits nothing but this server's own files: no code or style in attributes, no markup from values, no frame around
/// it.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

/// The page as it is sent; made on first use.
static PAGE: LazyLock<Page> = LazyLock::new(Page::new);

struct Page {
    hash: String,
    index: File,
    assets: [(&'static str, File); 4],
}

struct File {
    content_type: &'static str,
    plain: Body,
    gzip: Body,
}

impl Page {
    fn new() -> Page {
        let script: String = MODULES.iter().map(|module| joinable(module)).collect();
        let style: String = STYLES.iter().map(|file| unindented(file)).collect();
        let content = [INDEX, FIRST_PAINT, &script, &style, ICON].concat();
        let hash = Uuid::new_v5(&Uuid::NAMESPACE_URL, content.as_bytes()).simple().to_string();
        let index = INDEX.replace("{ui}", &format!("ui/{hash}."));
        Page {
            hash,
            index: File::new("text/html; charset=utf-8", &index),
            assets: [
                ("app.js", File::new("text/javascript; charset=utf-8", &script)),
                ("first-paint.js", File::new("text/javascript; charset=utf-8", FIRST_PAINT)),
                ("style.css", File::new("text/css; charset=utf-8", &style)),
                ("icon.svg", File::new("image/svg+xml", ICON)),
            ],
        }
    }
}

/// A module without its imports, exports, comments and superfluous space: joined in one script, all modules see each
/// other. No text in a module spans several lines.
fn joinable(module: &str) -> String {
    let mut in_import = false;
    let mut joined = String::with_capacity(module.len());
    for line in module.lines() {
        in_import |= line.starts_with("import ");
        let is_comment = ["//", "/**", "* ", "*/"].iter().any(|mark| line.trim_start().starts_with(mark));
        if !in_import && !is_comment && !line.is_empty() {
            let code = code_of(line.strip_prefix("export ").unwrap_or(line).trim_start());
            push_line(&mut joined, &tightened(code));
        }
        in_import &= !line.ends_with(';');
    }
    joined
}

/// Adds a line. Drops the line break where no statement can end, except after a line that may hold a comment.
fn push_line(text: &mut String, line: &str) {
    text.push_str(line);
    if line.contains("//") || !line.ends_with([',', ';', '(', '[', '{']) {
        text.push('\n');
    }
}

/// A line without its trailing comment, unless the slashes may be part of a text or a pattern.
fn code_of(line: &str) -> &str {
    match line.split_once(" // ") {
        Some((code, _)) if !code.contains(['\'', '"', '`', '/']) => code,
        _ => line,
    }
}

/// Signs of code: a space beside one separates nothing. Without + and -, of which two are another sign.
const SIGNS: [char; 16] = ['=', '?', ':', '<', '>', '*', ',', ';', '{', '}', '(', ')', '[', ']', '&', '|'];

/// A line without the spaces that separate nothing, up to where a pattern, a comment or a text of another kind may
/// begin.
fn tightened(line: &str) -> String {
    let (code, rest) = line.split_at(line.find(['"', '`', '/', '\\']).unwrap_or(line.len()));
    let mut tight = String::with_capacity(line.len());
    let mut in_text = false;
    for (at, char) in code.char_indices() {
        in_text ^= char == '\'';
        let is_idle = char == ' ' && !in_text && (tight.ends_with(SIGNS) || code[at + 1..].starts_with(SIGNS));
        if !is_idle {
            tight.push(char);
        }
    }
    tight + rest
}

/// A style without its comments, which have lines of their own, and its indentation.
fn unindented(file: &str) -> String {
    let mut in_comment = false;
    let mut style = String::with_capacity(file.len());
    for line in file.lines().map(str::trim_start).filter(|line| !line.is_empty()) {
        in_comment |= line.starts_with("/*");
        if !in_comment {
            push_line(&mut style, line);
        }
        in_comment &= !line.ends_with("*/");
    }
    style
}

impl File {
    fn new(content_type: &'static str, text: &str) -> File {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        // Writing to memory cannot fail.
        let _ = gzip.write_all(text.as_bytes());
        let gzip = gzip.finish().unwrap_or_default();
        File { content_type, plain: Body::from(text.as_bytes().to_vec()), gzip: Body::from(gzip) }
    }

    fn response(&self, request: &Request) -> Response {
        let response = if request.accepts_gzip() {
            Response::new(200, self.content_type, self.gzip.clone()).with_header("Content-Encoding", "gzip")
        } else {
            Response::new(200, self.content_type, self.plain.clone())
        };
        response.with_header("X-Content-Type-Options", "nosniff")
    }
}

/// The page for browsers, or a list of links for programs.
pub(super) fn index(app: &App, call: &Call<'_>) -> Result<Response, Response> {
    if !app.options.page {
        return Err(absent());
    }
    let request = call.request;
    let is_browser = request.header("accept").is_some_and(names_html);
    let response = if is_browser { page(request) } else { links() };
    Ok(response.with_header("Vary", "Accept, Accept-Encoding").with_header("Cache-Control", "no-cache"))
}

fn names_html(accept: &[u8]) -> bool {
    accept.split(|byte| matches!(byte, b',' | b';')).any(|range| range.trim_ascii().eq_ignore_ascii_case(b"text/html"))
}

fn page(request: &Request) -> Response {
    let tag = format!("\"{}\"", PAGE.hash);
    let response = match request.has_already(&tag) {
        true => Response::new(304, PAGE.index.content_type, Vec::new()),
        false => PAGE.index.response(request),
    };
    response
        .with_header("ETag", tag)
        .with_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        .with_header("Referrer-Policy", "no-referrer")
        .with_header("X-Frame-Options", "DENY")
}

/// Relative, so that they are valid under the path of a proxy as well.
fn links() -> Response {
    let links = json!({
        "name": "inventor",
        "version": env!("CARGO_PKG_VERSION"),
        "links": {
            "openapi": "openapi.json",
            "list": "sd",
            "registrations": "api/v1/registrations",
            "groups": "api/v1/groups",
            "status": "api/v1/status",
            "pollers": "api/v1/pollers",
            "changes": "api/v1/changes",
            "metrics": "metrics",
            "ready": "-/ready",
        },
    });
    Response::json(links.to_string().into_bytes())
}

/// A file of the page, `HASH.NAME`. Files of another version are not there.
pub(super) fn asset(app: &App, call: &Call<'_>) -> Result<Response, Response> {
    let file = Some(call.segment.as_str()).filter(|_| app.options.page);
    let name = file.and_then(|file| file.strip_prefix(PAGE.hash.as_str())?.strip_prefix('.')).ok_or_else(absent)?;
    let (_, file) = PAGE.assets.iter().find(|(known, _)| *known == name).ok_or_else(absent)?;
    let response = file.response(call.request);
    Ok(response
        .with_header("Vary", "Accept-Encoding")
        .with_header("Cache-Control", "public, max-age=31536000, immutable"))
}

fn absent() -> Response {
    Response::error(404, "404 page not found")
}
