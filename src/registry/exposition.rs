//! The series of the registrations behind a text of the caller's own: what `/metrics` is made of. The series are
//! rendered and compressed once for all who read them.

use std::iter;
use std::sync::Arc;

use super::gzip::{Piece, Stream};
use super::list::Snapshot;

/// A text in parts to be sent one after the other.
#[derive(Debug)]
pub struct Exposition {
    /// The parts, of which all but a few are shared with everybody who is sending them.
    pub parts: Arc<[Arc<[u8]>]>,
    /// How many bytes of them are the caller's own.
    pub own_bytes: usize,
}

impl Exposition {
    /// This text and behind it the series of these registrations, if there are any, with their groups if these may be
    /// shown; as a gzip stream if that is wanted.
    pub fn new(text: Vec<u8>, registrations: Option<&Snapshot>, shows_groups: bool, gzip: bool) -> Exposition {
        if gzip {
            let own = Piece::new(&text);
            let mut stream = Stream::default();
            stream.piece(&own);
            if let Some(registrations) = registrations {
                stream.append(registrations.target_info_gzip(shows_groups));
            }
            return Exposition { parts: stream.finish(b"").into(), own_bytes: own.len() };
        }
        let own_bytes = text.len();
        let series = registrations.map(|list| list.target_info(shows_groups)).unwrap_or_default();
        Exposition { parts: iter::once(text.into()).chain(series.iter().cloned()).collect(), own_bytes }
    }
}
