//! Decides when the table goes to its file, and has it written beside everything else.
//!
//! INVARIANT: whoever asks the keeper for something is answered at once; a volume that is slow or hangs holds up the file and
//! nothing else. At most one writing is under way.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tenantry_domain::Timestamp;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::disk::{self, File, FileError, Kept};

/// Changes are written at most this often.
const EVERY: Duration = Duration::from_secs(5);
/// And writing takes at most a tenth of the time.
const SHARE: u32 = 10;
/// A file that is confirmed without a change is written again after this, so that it does not age.
const CONFIRM: Duration = Duration::from_secs(600);
/// A writing that takes longer is told of.
const SLOW: Duration = Duration::from_secs(30);

type Writer = Arc<dyn Fn(&File, Kept) -> Result<(), FileError> + Send + Sync>;

/// Keeps one file.
pub(super) struct Keeper {
    file: Arc<File>,
    writer: Writer,
    is_changed: bool,
    /// When the last writing began.
    written: Option<Instant>,
    /// How long it took.
    took: Duration,
    under_way: Option<UnderWay>,
}

/// A writing that has begun.
struct UnderWay {
    as_of: Timestamp,
    done: oneshot::Receiver<Result<(), FileError>>,
    is_told: bool,
}

/// What became of a writing.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The file is as of then.
    Written(Timestamp),
    /// It stays as it was, or is not written yet after a long time.
    Failed(FileError),
}

impl Keeper {
    pub(super) fn new(file: File) -> Self {
        let (file, writer) = (Arc::new(file), Arc::new(disk::write));
        Self { file, writer, is_changed: false, written: None, took: Duration::ZERO, under_way: None }
    }

    pub(super) const fn changed(&mut self, is_changed: bool) {
        self.is_changed |= is_changed;
    }

    /// Whether there is something to write, now or at the end; never while a writing is under way.
    pub(super) fn is_due(&self, is_last: bool) -> bool {
        let pause = if self.is_changed { EVERY.max(self.took.saturating_mul(SHARE)) } else { CONFIRM };
        match self.written {
            _ if self.under_way.is_some() => false,
            None => self.is_changed || is_last,
            Some(_) if is_last => self.is_changed,
            Some(written) => written.elapsed() >= pause,
        }
    }

    /// Begins to write what the table is once the writing is at it, which is as of then or later. After an error it is tried
    /// again when it would be due anyway.
    pub(super) fn begin(&mut self, as_of: Timestamp, kept: impl FnOnce() -> Kept + Send + 'static) {
        let (said, done) = oneshot::channel();
        let (file, writer) = (Arc::clone(&self.file), Arc::clone(&self.writer));
        // A thread of its own: the end of the process would wait for one of the runtime's, for as long as the volume hangs.
        let work = move || drop(said.send(writer(&file, kept())));
        // Without a thread the sender goes, which is told as a failure.
        drop(thread::Builder::new().name("gateway-table".to_owned()).spawn(work));
        (self.written, self.is_changed) = (Some(Instant::now()), false);
        self.under_way = Some(UnderWay { as_of, done, is_told: false });
    }

    /// What became of the writing that is under way, if there is something new to tell.
    pub(super) fn look(&mut self) -> Option<Outcome> {
        let under_way = self.under_way.as_mut()?;
        let said = match under_way.done.try_recv() {
            Ok(said) => said,
            Err(oneshot::error::TryRecvError::Closed) => Err(self.lost()),
            Err(oneshot::error::TryRecvError::Empty) => {
                let is_slow = self.written.is_some_and(|written| written.elapsed() >= SLOW);
                return (is_slow && !std::mem::replace(&mut under_way.is_told, true))
                    .then(|| Outcome::Failed(FileError::Slow(self.file.path.clone())));
            }
        };
        self.ended(said)
    }

    /// Waits for the writing that is under way, for at most so long.
    pub(super) async fn wait(&mut self, limit: Duration) -> Option<Outcome> {
        let under_way = self.under_way.as_mut()?;
        match timeout(limit, &mut under_way.done).await {
            Ok(said) => {
                let said = said.unwrap_or_else(|_| Err(self.lost()));
                self.ended(said)
            }
            Err(_) => Some(Outcome::Failed(FileError::Slow(self.file.path.clone()))),
        }
    }

    fn ended(&mut self, said: Result<(), FileError>) -> Option<Outcome> {
        let under_way = self.under_way.take()?;
        self.took = self.written.map_or(Duration::ZERO, |written| written.elapsed());
        self.is_changed |= said.is_err();
        Some(match said {
            Ok(()) => Outcome::Written(under_way.as_of),
            Err(error) => Outcome::Failed(error),
        })
    }

    fn lost(&self) -> FileError {
        let source = io::Error::other("the writing thread is gone");
        FileError::System { path: self.file.path.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use std::sync::mpsc;
    use std::sync::{Mutex, PoisonError};

    use tenantry_domain::id::InstallationId;
    use zeroize::Zeroizing;

    use super::*;
    use crate::table::Full;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn kept() -> Kept {
        let installation = InstallationId::from_uuid(uuid::Uuid::from_u128(7));
        Kept { installation, taken_at: at(1), full: Full::default() }
    }

    fn keeper() -> Keeper {
        Keeper::new(File::new("table", Zeroizing::new([3; 32])))
    }

    #[test]
    fn a_file_is_written_when_it_changed_or_would_age() {
        let mut keeper = keeper();
        assert!(!keeper.is_due(false) && keeper.is_due(true), "nothing to write but at the end");
        keeper.changed(true);
        assert!(keeper.is_due(false));
        keeper.written = Some(Instant::now());
        assert!(!keeper.is_due(false) && keeper.is_due(true), "not twice in a moment, but at the end");
        keeper.written = Instant::now().checked_sub(EVERY);
        assert!(keeper.is_due(false));
        keeper.took = EVERY;
        assert!(!keeper.is_due(false), "a slow volume is written to more rarely");
        keeper.is_changed = false;
        assert!(!keeper.is_due(false) && !keeper.is_due(true));
        keeper.written = Instant::now().checked_sub(CONFIRM);
        assert!(keeper.is_due(false));
    }

    /// The volume hangs: whoever follows the registry is not held up, and hears of it once.
    #[tokio::test]
    async fn a_volume_that_hangs_holds_nobody_up() {
        let (go, gate) = mpsc::channel::<bool>();
        let gate = Mutex::new(gate);
        let mut keeper = keeper();
        keeper.writer = Arc::new(move |file: &File, _| {
            let gate = gate.lock().unwrap_or_else(PoisonError::into_inner);
            if gate.recv().unwrap() { Ok(()) } else { Err(FileError::Missing(file.path.clone())) }
        });
        keeper.changed(true);
        let began = Instant::now();
        keeper.begin(at(1), kept);
        keeper.changed(true);
        assert!(keeper.look().is_none() && !keeper.is_due(false) && !keeper.is_due(true), "one at a time");
        assert!(matches!(keeper.wait(Duration::from_millis(20)).await, Some(Outcome::Failed(FileError::Slow(_)))));
        assert!(began.elapsed() < Duration::from_secs(5), "it was waited for");
        keeper.written = Instant::now().checked_sub(SLOW);
        assert!(matches!(keeper.look(), Some(Outcome::Failed(FileError::Slow(_)))));
        assert!(keeper.look().is_none(), "told once");
        go.send(true).unwrap();
        assert!(matches!(keeper.wait(SLOW).await, Some(Outcome::Written(as_of)) if as_of == at(1)));
        assert!(keeper.is_due(true), "what changed meanwhile is not in it");
        keeper.begin(at(2), kept);
        go.send(false).unwrap();
        assert!(matches!(keeper.wait(SLOW).await, Some(Outcome::Failed(FileError::Missing(_)))));
        assert!(keeper.is_due(true), "it is tried again");
        drop(go);
        keeper.begin(at(3), kept);
        assert!(matches!(keeper.wait(SLOW).await, Some(Outcome::Failed(FileError::System { .. }))));
    }
}
