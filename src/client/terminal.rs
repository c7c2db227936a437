//! Text from elsewhere, made so that it can do nothing to a terminal: control characters and what directs writing
//! (such as U+202E) are shown as escapes.

/// The text with escapes, as Rust writes them, for everything that is not printed as itself.
pub(super) fn text(text: &str) -> String {
    if text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        return text.to_owned();
    }
    // Quotes and backslashes are harmless, and stay as they are.
    let quoted = format!("{text:?}");
    let mut chars = quoted[1..quoted.len() - 1].chars();
    let mut out = String::with_capacity(quoted.len());
    while let Some(c) = chars.next() {
        match (c, chars.as_str().chars().next()) {
            ('\\', Some(quote @ ('"' | '\\' | '\''))) => {
                out.push(quote);
                chars.next();
            }
            _ => out.push(c),
        }
    }
    out
}

/// JSON with an escape for each such character; they are only in strings, where the escape means the same.
pub(super) fn json(json: &str) -> String {
    escaped(json, |c, out| {
        let mut units = [0; 2];
        for unit in c.encode_utf16(&mut units) {
            out.push_str(&format!("\\u{unit:04x}"));
        }
    })
}

/// A string of JSON as one of YAML, with an escape for each such character.
pub(super) fn yaml(json: &str) -> String {
    escaped(json, |c, out| {
        let number = u32::from(c);
        out.push_str(&if number > 0xffff { format!("\\U{number:08x}") } else { format!("\\u{number:04x}") });
    })
}

/// Lines with an escape for each such character but the line ends.
pub(super) fn lines(text: &str) -> String {
    escaped(text, |c, out| out.extend(c.escape_default()))
}

fn escaped(text: &str, escape: impl Fn(char, &mut String)) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let shows = c == '\n' || c == ' ' || c.is_ascii_graphic() || !c.is_ascii() && c.escape_debug().len() == 1;
        if shows { out.push(c) } else { escape(c, &mut out) }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_terminal_is_told_nothing() {
        assert_eq!(super::text("a\u{1b}[31mb\u{9b}c\u{202e}\nü\"\\'"), "a\\u{1b}[31mb\\u{9b}c\\u{202e}\\nü\"\\'");
        assert_eq!(super::json("{\n\"\u{9b}ü\u{e0001}\"}"), "{\n\"\\u009bü\\udb40\\udc01\"}");
        assert_eq!(super::lines("a\u{1b}\nb"), "a\\u{1b}\nb");
    }
}
