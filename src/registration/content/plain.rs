//! Stored documents in the plain form that nearly all have: as this program writes them, in ASCII and without escapes.
//! What memory holds of such a document is a piece of it, so that nothing is decoded and encoded again. Documents of any
//! other form are for the decoder.

use std::sync::Arc;

use super::{Content, GROUP, LABELS, MODULES, Members, TARGETS};
use crate::registration::checked::{ENTRY_FRAME_BYTES, SHOWN_BYTES_MAX};
use crate::registration::{LabelNames, TargetId, Ttl};

impl Content {
    /// The content of a stored document in the plain form that is fit to be shown, and its `updated_at`: what decoding and
    /// checking it leads to as well. `None` says nothing about a document.
    pub(in crate::registration) fn of_plain(document: &[u8], names: LabelNames) -> Option<(Content, &str)> {
        let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'\\' | b'<' | b'>' | b'&');
        if !document.iter().all(is_plain) {
            return None;
        }
        let mut rest = Rest(std::str::from_utf8(document).ok()?);
        rest.skip("{\"id\":")?;
        TargetId::parse(rest.string()?)?;
        rest.skip(",")?;
        let members = rest.0;
        let read = |rest: &Rest<'_>| members.len() - rest.0.len();
        rest.skip(TARGETS)?;
        let target_count = rest.strings()?;
        let targets_end = read(&rest);
        rest.skip(LABELS)?;
        let labels_are_null = rest.skip("null").is_some();
        if !labels_are_null {
            rest.labels(names)?;
        }
        let labels_end = read(&rest);
        rest.skip(GROUP)?;
        rest.filled_string()?;
        let group_end = read(&rest);
        let has_modules = rest.skip(MODULES).is_some();
        let module_count = if has_modules { rest.strings()? } else { 0 };
        let json = members.as_bytes()[..read(&rest)].into();
        rest.skip(",\"updated_at\":")?;
        let updated_at = rest.string()?;
        let ttl = if rest.skip(",\"ttl_seconds\":").is_some() { Some(rest.lifetime()?) } else { None };
        // More than what it takes in the list, where each module repeats it.
        let shown = (document.len() + ENTRY_FRAME_BYTES).checked_mul(module_count + 2)?;
        if rest.0 != "}" || shown > SHOWN_BYTES_MAX {
            return None;
        }
        let members =
            Members { json, targets_end, labels_end, group_end, has_modules, target_count, labels_are_null, ttl };
        Some((Content(Arc::new(members)), updated_at))
    }
}

/// What is left to be read of a document without escapes.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn skip(&mut self, text: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(text)?;
        Some(())
    }

    fn string(&mut self) -> Option<&'a str> {
        let (text, rest) = self.0.strip_prefix('"')?.split_once('"')?;
        self.0 = rest;
        Some(text)
    }

    fn filled_string(&mut self) -> Option<&'a str> {
        self.string().filter(|text| !text.is_empty())
    }

    /// A list of at least one string, none of them empty. Returns how many there are.
    fn strings(&mut self) -> Option<usize> {
        self.skip("[")?;
        self.filled_string()?;
        let mut count = 1;
        while self.skip("]").is_none() {
            self.skip(",")?;
            self.filled_string()?;
            count += 1;
        }
        Some(count)
    }

    /// Labels that are sorted by name.
    fn labels(&mut self, names: LabelNames) -> Option<()> {
        self.skip("{")?;
        // No name is empty, so that the first one comes after this.
        let mut last = "";
        while self.skip("}").is_none() {
            if !last.is_empty() {
                self.skip(",")?;
            }
            let name = self.string().filter(|name| *name > last && names.fault(name).is_none())?;
            self.skip(":")?;
            self.string()?;
            last = name;
        }
        Some(())
    }

    fn lifetime(&mut self) -> Option<Ttl> {
        let (digits, rest) = self.0.split_at(self.0.find(|c: char| !c.is_ascii_digit())?);
        self.0 = rest;
        // JSON has no zeros before a number.
        Ttl::parse(digits).filter(|ttl| ttl.seconds().to_string() == digits)
    }
}
