//! What a running gateway is configured with, and how it takes over another configuration.
//!
//! Everything is read and checked before anything changes: a configuration that cannot be used changes nothing. Workers look
//! at the bounds every quarter of a second and take new ones over for the sessions that they have. Two reloads at once go one
//! after the other.
//!
//! INVARIANT: between the first thing that changes and the last one there is no waiting, so a reload happens whole or not at
//! all, whoever asked for it and is gone meanwhile.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use crate::login::Desk;
use crate::settings::Settings;
use crate::tls::{Tls, TlsError};

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Nobody has set it.
    Default,
    /// The file, which is read again.
    File,
    /// A flag or a variable: these are of the start, and beat the file.
    Start,
}

impl Origin {
    /// Its word in the console.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File => "file",
            Self::Start => "start",
        }
    }
}

/// One setting as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its key in the file.
    pub name: &'static str,
    /// Its value as people write it; nothing secret.
    pub value: String,
    /// Where it comes from.
    pub origin: Origin,
    /// Whether it can change while the gateway runs.
    pub is_live: bool,
}

/// A configuration that can be used.
#[derive(Debug, Clone)]
pub struct Configured {
    /// Bounds and choices.
    pub settings: Settings,
    /// The same, one by one, with everything else that the file decides.
    pub entries: Vec<Entry>,
}

/// Why a configuration cannot be used, in words for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unusable(pub String);

/// Reads the configuration again. It may take its time: it is asked beside the runtime.
pub trait Source: Send + Sync + 'static {
    /// Reads and checks all of it.
    ///
    /// # Errors
    /// It cannot be read, or something in it cannot be used.
    fn read(&self) -> Result<Configured, Unusable>;
}

/// Why nothing was reloaded; everything is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// There is neither a configuration nor a certificate to read.
    #[error("this gateway has neither a certificate nor a file with settings")]
    Nothing,
    /// The configuration cannot be used.
    #[error("the configuration cannot be used: {0}")]
    Configuration(#[from] Unusable),
    /// The certificate cannot be used.
    #[error("the certificate cannot be used: {0}")]
    Tls(#[from] TlsError),
    /// The reading ended without an answer.
    #[error("the reading of the configuration ended without an answer")]
    Lost,
}

/// A setting that differs from the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its key in the file.
    pub name: &'static str,
    /// The value that held, or for one that waits: holds.
    pub from: String,
    /// The value that was found.
    pub to: String,
    /// Whether it holds now; it waits for a restart otherwise.
    pub is_live: bool,
}

/// The configuration at one moment, for people and metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigView {
    /// What holds.
    pub entries: Vec<Entry>,
    /// What was found and waits for a restart.
    pub waiting: Vec<Difference>,
    /// Why the last reload did nothing; absent if it did.
    pub error: Option<String>,
    /// Reloads that were done.
    pub done: u64,
    /// Reloads that were not.
    pub failed: u64,
}

/// See the module.
pub struct Config {
    settings: ArcSwap<Settings>,
    share: Arc<ArcSwap<Settings>>,
    source: Option<Arc<dyn Source>>,
    /// Whose turn it is to reload.
    turn: tokio::sync::Mutex<()>,
    view: Mutex<ConfigView>,
}

impl Config {
    /// What a gateway starts with, and where it finds what is to hold later.
    #[must_use]
    pub fn new(settings: Settings, from: Option<(Vec<Entry>, Arc<dyn Source>)>) -> Self {
        let share = Arc::new(ArcSwap::from_pointee(settings.share()));
        let (entries, source) = from.unzip();
        let view = ConfigView { entries: entries.unwrap_or_default(), ..ConfigView::default() };
        let (turn, view) = (tokio::sync::Mutex::default(), Mutex::new(view));
        Self { settings: ArcSwap::from_pointee(settings), share, source, turn, view }
    }

    /// Bounds and choices as they are now.
    #[must_use]
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    /// The share of one worker, now and later.
    #[must_use]
    pub fn share(&self) -> Arc<ArcSwap<Settings>> {
        Arc::clone(&self.share)
    }

    /// What holds, what waits, and how the last reload went.
    #[must_use]
    pub fn view(&self) -> ConfigView {
        self.lock().clone()
    }

    /// Reads configuration and certificate again and takes over what can change. What differs is given: what holds now, and
    /// what waits for a restart.
    ///
    /// # Errors
    /// See [`ReloadError`]; then everything is as it was.
    pub async fn reload(&self, tls: Option<&Tls>, desk: &Desk) -> Result<Vec<Difference>, ReloadError> {
        let _turn = self.turn.lock().await;
        let done = self.try_reload(tls, desk).await;
        match &done {
            Ok(differences) => {
                for Difference { name, from, to, is_live } in differences {
                    match is_live {
                        true => tracing::info!(setting = name, from, to, "a setting was changed"),
                        false => tracing::warn!(setting = name, from, to, "a setting waits for a restart"),
                    }
                }
                tracing::info!("certificate and configuration were read again");
            }
            Err(error) => {
                let mut view = self.lock();
                view.error = Some(error.to_string());
                view.failed += 1;
                drop(view);
                tracing::error!(%error, "nothing was reloaded: all bounds, certificate and key stay as they were");
            }
        }
        done
    }

    async fn try_reload(&self, tls: Option<&Tls>, desk: &Desk) -> Result<Vec<Difference>, ReloadError> {
        if self.source.is_none() && tls.is_none() {
            return Err(ReloadError::Nothing);
        }
        let (source, files) = (self.source.clone(), tls.cloned());
        let (said, read) = tokio::sync::oneshot::channel();
        let work = move || {
            let found = source.map(|source| source.read()).transpose().map_err(ReloadError::from);
            let found = found.and_then(|found| Ok((found, files.map(|tls| tls.prepare()).transpose()?)));
            drop(said.send(found));
        };
        // A thread of its own: the end of the process would wait for one of the runtime's, for as long as a volume hangs.
        // Without a thread the sender goes, which is told as a failure.
        drop(std::thread::Builder::new().name("gateway-reload".to_owned()).spawn(work));
        let (found, offer) = read.await.map_err(|_| ReloadError::Lost)??;
        // Nothing can fail from here on, and nothing waits.
        if let (Some(tls), Some(offer)) = (tls, offer) {
            tls.offer_from_now(offer);
        }
        let mut view = self.lock();
        (view.error, view.done) = (None, view.done + 1);
        let Some(Configured { settings, entries }) = found else { return Ok(Vec::new()) };
        let settings = self.settings.load().with_bounds_of(&settings);
        desk.bound(settings.login, settings.failures);
        self.share.store(Arc::new(settings.share()));
        self.settings.store(Arc::new(settings));
        let differences = compare(&view.entries, &entries);
        view.waiting = differences.iter().filter(|found| !found.is_live).cloned().collect();
        view.entries = merge(&view.entries, entries);
        Ok(differences)
    }

    fn lock(&self) -> MutexGuard<'_, ConfigView> {
        // Nothing in between panics.
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was found and is not what holds.
fn compare(running: &[Entry], found: &[Entry]) -> Vec<Difference> {
    let pairs = found.iter().filter_map(|new| Some((running.iter().find(|old| old.name == new.name)?, new)));
    let differ = pairs.filter(|(old, new)| old.value != new.value);
    differ
        .map(|(old, new)| Difference {
            name: new.name,
            from: old.value.clone(),
            to: new.value.clone(),
            is_live: new.is_live,
        })
        .collect()
}

/// What holds after a reload: what can change is as it was found, the rest as it was.
fn merge(running: &[Entry], found: Vec<Entry>) -> Vec<Entry> {
    let old = |name: &str| running.iter().find(|old| old.name == name).cloned();
    found.into_iter().map(|new| if new.is_live { new } else { old(new.name).unwrap_or(new) }).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::login::{Limits, Mock};
    use crate::table::Table;

    struct Script {
        found: Mutex<Result<Configured, Unusable>>,
        at_once: AtomicUsize,
    }

    impl Source for Script {
        fn read(&self) -> Result<Configured, Unusable> {
            assert_eq!(self.at_once.fetch_add(1, Ordering::SeqCst), 0, "two reloads read at once");
            std::thread::park_timeout(Duration::from_millis(20));
            let found = self.found.lock().unwrap().clone();
            self.at_once.fetch_sub(1, Ordering::SeqCst);
            found
        }
    }

    fn configured(clients: usize, workers: usize) -> Configured {
        let entry =
            |name, value: usize, is_live| Entry { name, value: value.to_string(), origin: Origin::File, is_live };
        Configured {
            settings: Settings { clients, workers, ..Settings::default() },
            entries: vec![entry("gateway.clients", clients, true), entry("gateway.workers", workers, false)],
        }
    }

    fn desk() -> Desk {
        Desk::new(Table::default(), None, Limits::default(), Mock::new(&[1; 32]))
    }

    fn start() -> (Arc<Script>, Config) {
        let first = configured(10, 2);
        let script = Arc::new(Script { found: Mutex::new(Ok(first.clone())), at_once: AtomicUsize::new(0) });
        let source: Arc<dyn Source> = Arc::<Script>::clone(&script);
        (script, Config::new(first.settings, Some((first.entries, source))))
    }

    #[tokio::test]
    async fn what_can_change_does_and_the_rest_waits() {
        let (script, config) = start();
        *script.found.lock().unwrap() = Ok(configured(20, 4));
        let differences = config.reload(None, &desk()).await.unwrap();
        let shown: Vec<_> = differences.iter().map(|one| (one.name, &*one.from, &*one.to, one.is_live)).collect();
        assert_eq!(shown, [("gateway.clients", "10", "20", true), ("gateway.workers", "2", "4", false)]);
        assert_eq!((config.settings().clients, config.settings().workers), (20, 2));
        let view = config.view();
        assert_eq!((view.waiting.len(), view.done, view.failed, &view.error), (1, 1, 0, &None));
        assert_eq!(view.entries[1].value, "2", "it shows what holds");
        // What waited is taken back: nothing waits any more.
        *script.found.lock().unwrap() = Ok(configured(20, 2));
        assert!(config.reload(None, &desk()).await.unwrap().is_empty());
        assert!(config.view().waiting.is_empty());
    }

    #[tokio::test]
    async fn what_cannot_be_used_changes_nothing() {
        let (script, config) = start();
        *script.found.lock().unwrap() = Err(Unusable("clients is no number".to_owned()));
        let error = config.reload(None, &desk()).await.unwrap_err();
        assert!(error.to_string().contains("clients is no number"), "{error}");
        assert_eq!(config.settings().clients, 10);
        let view = config.view();
        assert_eq!((view.done, view.failed, view.entries[0].value.as_str()), (0, 1, "10"));
        assert!(view.error.unwrap().contains("clients is no number"));
        *script.found.lock().unwrap() = Ok(configured(10, 2));
        config.reload(None, &desk()).await.unwrap();
        assert_eq!(config.view().error, None, "it is forgotten once it is mended");
        let bare = Config::new(Settings::default(), None);
        assert!(matches!(bare.reload(None, &desk()).await, Err(ReloadError::Nothing)));
    }

    #[tokio::test]
    async fn two_at_once_go_one_after_the_other() {
        let (_, config) = start();
        let desk = desk();
        let both = tokio::join!(config.reload(None, &desk), config.reload(None, &desk));
        assert!(both.0.is_ok() && both.1.is_ok());
        assert_eq!(config.view().done, 2);
    }
}
