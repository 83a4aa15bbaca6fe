//! Decides when the table goes to its file, and writes it beside the runtime.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::disk::{self, File, FileError, Kept};

/// Changes are written at most this often.
const EVERY: Duration = Duration::from_secs(5);
/// A file that is confirmed without a change is written again after this, so that it does not age.
const CONFIRM: Duration = Duration::from_secs(600);

/// Keeps one file.
#[derive(Debug)]
pub(super) struct Keeper {
    file: Arc<File>,
    is_changed: bool,
    written: Option<Instant>,
}

impl Keeper {
    pub(super) fn new(file: File) -> Self {
        Self { file: Arc::new(file), is_changed: false, written: None }
    }

    pub(super) const fn changed(&mut self, is_changed: bool) {
        self.is_changed |= is_changed;
    }

    /// Whether there is something to write, now or at the end.
    pub(super) fn is_due(&self, is_last: bool) -> bool {
        match self.written {
            None => self.is_changed || is_last,
            Some(_) if is_last => self.is_changed,
            Some(written) => written.elapsed() >= if self.is_changed { EVERY } else { CONFIRM },
        }
    }

    /// Writes. After an error it is tried again when it would be due anyway.
    pub(super) async fn write(&mut self, kept: Kept) -> Result<(), FileError> {
        self.written = Some(Instant::now());
        let (file, path) = (Arc::clone(&self.file), self.file.path.clone());
        let written = tokio::task::spawn_blocking(move || disk::write(&file, kept)).await;
        let written = written.unwrap_or_else(|error| Err(FileError::System { path, source: io::Error::other(error) }));
        self.is_changed = written.is_err();
        written
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    #[test]
    fn a_file_is_written_when_it_changed_or_would_age() {
        let mut keeper = Keeper::new(File::new("table", Zeroizing::new([3; 32])));
        assert!(!keeper.is_due(false) && keeper.is_due(true), "nothing to write but at the end");
        keeper.changed(true);
        assert!(keeper.is_due(false));
        keeper.written = Some(Instant::now());
        assert!(!keeper.is_due(false) && keeper.is_due(true), "not twice in a moment, but at the end");
        keeper.written = Instant::now().checked_sub(EVERY);
        assert!(keeper.is_due(false));
        keeper.is_changed = false;
        assert!(!keeper.is_due(false) && !keeper.is_due(true));
        keeper.written = Instant::now().checked_sub(CONFIRM);
        assert!(keeper.is_due(false));
    }
}
