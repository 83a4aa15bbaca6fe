//! What a process counted while it told people, for its metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// What can come of a notification, in words of the metrics.
pub const WORDS: [&str; 4] = ["queued", "sent", "failed", "dropped"];

/// Counters since the start of the process, by [`WORDS`], for mail and for chat.
#[derive(Debug, Default)]
pub struct Stats {
    mail: [AtomicU64; WORDS.len()],
    chat: [AtomicU64; WORDS.len()],
}

impl Stats {
    pub(super) fn count(&self, is_chat: bool, word: &str, by: u64) {
        let counters = if is_chat { &self.chat } else { &self.mail };
        if let Some(place) = WORDS.iter().position(|known| *known == word)
            && let Some(counter) = counters.get(place)
        {
            counter.fetch_add(by, Ordering::Relaxed);
        }
    }

    /// The counters now: of mail, and of chat.
    #[must_use]
    pub fn counted(&self) -> [(&'static str, [u64; WORDS.len()]); 2] {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [("mail", self.mail.each_ref().map(read)), ("chat", self.chat.each_ref().map(read))]
    }
}
