//! JSON as Go's `encoding/json` spells and reads it, because ids and stored documents must be equal to the byte.
//! Nothing here knows what a registration is.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::{fmt, io};

use memchr::{memchr, memchr2};
use serde::de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// Encodes a value as Go does: compact, with `<`, `>`, `&`, U+2028 and U+2029 escaped.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    encode_into(&mut out, value);
    out
}

/// Appends the encoded value to `out`.
pub fn encode_into<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    let mut serializer = serde_json::Serializer::with_formatter(out, GoSpelling);
    // Strings, lists and maps with string keys cannot fail, nor can writing to memory.
    let written = value.serialize(&mut serializer);
    debug_assert!(written.is_ok());
}

struct GoSpelling;

impl serde_json::ser::Formatter for GoSpelling {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        // Most strings have none of these; the last is the first byte of the two separators.
        if !fragment.bytes().any(|byte| matches!(byte, b'<' | b'>' | b'&' | 0xE2)) {
            return writer.write_all(fragment.as_bytes());
        }
        let mut rest = fragment;
        while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            let (plain, special) = rest.split_at(at);
            writer.write_all(plain.as_bytes())?;
            let mut chars = special.chars();
            if let Some(c) = chars.next() {
                write!(writer, "\\u{:04x}", u32::from(c))?;
            }
            rest = chars.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

/// Decodes one JSON object; blanks around it are fine, anything else after it is an error.
/// Each byte that is not part of well-formed UTF-8 is read as U+FFFD, as Go does.
pub fn decode<T: Object>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    let text = well_formed_text(bytes)?;
    let mut deserializer = serde_json::Deserializer::from_str(&text);
    let value = object(&mut deserializer)?;
    deserializer.end().map(|()| value)
}

/// The text of a document that is decoded piece by piece.
pub fn well_formed_text(bytes: &[u8]) -> Result<Cow<'_, str>, serde_json::Error> {
    refuse_raw_control_characters(bytes)?;
    Ok(well_formed(bytes))
}

/// Control characters in strings must be escaped. serde_json does not check that when [`Text`] asks for bytes.
fn refuse_raw_control_characters(bytes: &[u8]) -> Result<(), serde_json::Error> {
    if bytes.iter().all(|byte| *byte >= 0x20) {
        return Ok(());
    }
    let (mut in_string, mut escaped) = (false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            0x00..0x20 if in_string => {
                return Err(de::Error::custom(format_args!("unescaped control character {byte:#04x} in a string")));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Replaces each ill-formed *byte* by U+FFFD (`String::from_utf8_lossy` replaces maximal subparts, which gives other ids).
pub(crate) fn well_formed(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().map(|_| '\u{fffd}'));
    }
    Cow::Owned(out)
}

/// A JSON string in which each lone surrogate escape became U+FFFD; `null` is the empty string.
#[derive(Debug, Default, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text(pub String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        // Asked for bytes, serde_json hands lone surrogates on as three bytes instead of refusing them.
        // It also would read `null` as a unit, so the option comes first.
        struct OrNull;
        impl<'de> Visitor<'de> for OrNull {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_none<E: de::Error>(self) -> Result<Text, E> {
                Ok(Text::default())
            }
            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Text, D::Error> {
                deserializer.deserialize_bytes(self)
            }
            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Text, E> {
                Ok(Text(without_surrogates(bytes)))
            }
        }
        deserializer.deserialize_option(OrNull)
    }
}

/// Replaces surrogates. The input was made well-formed before parsing, so nothing else is ill-formed, and each has
/// three bytes.
fn without_surrogates(bytes: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(bytes.len());
    let mut invalid = 0;
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        for _ in chunk.invalid() {
            if invalid % 3 == 0 {
                out.push('\u{fffd}');
            }
            invalid += 1;
        }
    }
    out
}

/// A JSON object read member by member. Names match in any case, the last of several wins, unknown ones are ignored.
pub trait Object: Default {
    /// The object's name in errors.
    const NAME: &'static str;

    /// Reads the value of the member with this lower-case name; `false` when there is no such member.
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error>;
}

/// Reads an [`Object`] and names the member in errors.
pub fn object<'de, D: Deserializer<'de>, T: Object>(deserializer: D) -> Result<T, D::Error> {
    struct Members<T>(PhantomData<T>);
    impl<'de, T: Object> Visitor<'de> for Members<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(T::NAME)
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
            let mut value = T::default();
            while let Some(Text(mut name)) = map.next_key()? {
                name.make_ascii_lowercase();
                let known = value.member(&name, &mut map).map_err(|e| at(&name, e))?;
                if !known {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(value)
        }
    }
    deserializer.deserialize_map(Members(PhantomData))
}

/// The members of an object in their order, including repeated ones. Errors name the member.
#[derive(Debug)]
pub struct Pairs<V>(pub Vec<(Text, V)>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Pairs<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pairs<V>, D::Error> {
        struct Members<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for Members<V> {
            type Value = Pairs<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with string values")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<V>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(name) = map.next_key::<Text>()? {
                    let value = map.next_value().map_err(|e| at(&name.0, e))?;
                    pairs.push((name, value));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Members(PhantomData))
    }
}

/// Decodes a string that was encoded here; it is borrowed unless it has escapes.
pub fn decode_string(json: &[u8]) -> Cow<'_, str> {
    if memchr(b'\\', json).is_some() {
        return serde_json::from_slice(json).map(Cow::Owned).unwrap_or_default();
    }
    let text = json.strip_prefix(b"\"").and_then(|json| json.strip_suffix(b"\""));
    Cow::Borrowed(text.and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default())
}

/// The value of a member of an object that was encoded here and has only strings. The name must need no escapes.
pub fn member<'a>(object: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut strings = strings(object);
    while let (Some(key), Some(value)) = (strings.next(), strings.next()) {
        if key.len() == name.len() + 2 && &key[1..=name.len()] == name.as_bytes() {
            return Some(value);
        }
    }
    None
}

/// The strings in JSON that was encoded here, still encoded and in their quotes.
pub fn strings(json: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = json;
    std::iter::from_fn(move || {
        rest = &rest[memchr(b'"', rest)?..];
        let mut end = 1;
        loop {
            end += memchr2(b'"', b'\\', rest.get(end..)?)?;
            if rest[end] == b'"' {
                break;
            }
            end += 2;
        }
        let (string, behind) = rest.split_at(end + 1);
        rest = behind;
        Some(string)
    })
}

/// A list of strings; `null` is the empty string. Errors name the position, counted from 0.
#[derive(Debug)]
pub struct TextList(pub Vec<String>);

impl<'de> Deserialize<'de> for TextList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<TextList, D::Error> {
        struct Items;
        impl<'de> Visitor<'de> for Items {
            type Value = TextList;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of strings")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<TextList, A::Error> {
                let mut items = Vec::new();
                while let Some(Text(item)) = seq.next_element().map_err(|e| at(&items.len().to_string(), e))? {
                    items.push(item);
                }
                Ok(TextList(items))
            }
        }
        deserializer.deserialize_seq(Items)
    }
}

/// Puts the name of a member before its error; serde_json keeps the line and column that the text ends with.
fn at<E: de::Error>(name: &str, error: E) -> E {
    E::custom(format_args!("{name}: {error}"))
}
