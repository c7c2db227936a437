//! What is said once, until it changes.

/// What was said last.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct News(Option<String>);

impl News {
    /// Whether this is to be said: it is not what was said last.
    pub(super) fn is(&mut self, text: &str) -> bool {
        let is_news = self.0.as_deref() != Some(text);
        self.0 = Some(text.to_owned());
        is_news
    }

    /// It is over: whatever comes next is to be said, and whether there was something.
    pub(super) fn is_over(&mut self) -> bool {
        self.0.take().is_some()
    }
}
