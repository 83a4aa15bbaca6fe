//! Handles that use cases, workflows and controllers work with, and the ports for what is not ours: clock,
//! id mint, secrets. Cheap to clone; holds no tenant.

use std::sync::Arc;

use secrecy::SecretString;
use tenantry_api::v1::payload;
use tenantry_dataplane::guard::SigningKey;
use tenantry_dataplane::{Dataplane, RootKey};
use tenantry_domain::Timestamp;
use tenantry_domain::cell::SecretRef;
use tenantry_domain::id::{
    EventId, GrantId, IncidentId, OperationId, ReplicaId, RequestId, RolloutId, TenantId, TokenId, WebhookId,
    WorkflowId,
};
use tenantry_store::Store;
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::flags::Uses;
use crate::governance::Governance;
use crate::keeping::Kept;
use crate::notify::stats::Stats as Notified;
pub use crate::options::{Options, PoolWants};
use crate::quotas::rates::Rates;
use crate::routes::Routes;
use crate::routes::context::Signer;
use crate::routes::token::{People, Tokens};
use crate::streams::Streams;
use crate::timing::Timing;
use crate::usage::Days;
use crate::webhooks::Outbound;

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// Why a secret could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The environment variable is not set, or not text.
    #[error("environment variable `{0}` is not set for the control plane")]
    Variable(String),
    /// The file cannot be read.
    #[error("file `{0}` cannot be read by the control plane")]
    File(String),
}

/// Where the values behind [`SecretRef`]s come from.
pub trait Secrets: Send + Sync {
    /// Reads a secret; called each time it is needed, so that a rotation needs no restart.
    ///
    /// # Errors
    /// The reference leads nowhere.
    fn read(&self, reference: &SecretRef) -> Result<SecretString, SecretError>;
}

/// Environment variables and files of this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessSecrets;

impl Secrets for ProcessSecrets {
    fn read(&self, reference: &SecretRef) -> Result<SecretString, SecretError> {
        match reference {
            SecretRef::Env(name) => {
                std::env::var(name).map(SecretString::from).map_err(|_| SecretError::Variable(name.clone()))
            }
            SecretRef::File(path) => std::fs::read_to_string(path)
                .map(|text| SecretString::from(text.trim_end().to_owned()))
                .map_err(|_| SecretError::File(path.clone())),
        }
    }
}

struct Inner {
    store: Store,
    dataplane: Dataplane,
    clock: Arc<dyn Clock>,
    secrets: Arc<dyn Secrets>,
    options: Options,
    replica: ReplicaId,
    token_key: Zeroizing<[u8; 32]>,
    routes: Routes,
    rates: Rates,
    uses: Uses,
    usage_days: Days,
    tokens: Tokens,
    people: People,
    signer: Option<Signer>,
    guard_key: Option<SigningKey>,
    outbound: Outbound,
    streams: Streams,
    notified: Notified,
    timing: Timing,
    kept: Kept,
    nudge: watch::Sender<u64>,
    changes: watch::Sender<u64>,
}

/// Everything that the brain needs of the world.
#[derive(Clone)]
pub struct Deps(Arc<Inner>);

impl Deps {
    /// Binds the hands together, with the machine's clock and the process's secrets.
    #[must_use]
    pub fn new(store: Store, dataplane: Dataplane, root: &RootKey, options: Options) -> Self {
        Self::with_ports(store, dataplane, root, options, Arc::new(SystemClock), Arc::new(ProcessSecrets))
    }

    /// Binds the hands together with other ports.
    #[must_use]
    pub fn with_ports(
        store: Store,
        dataplane: Dataplane,
        root: &RootKey,
        options: Options,
        clock: Arc<dyn Clock>,
        secrets: Arc<dyn Secrets>,
    ) -> Self {
        // Whatever runs in a test keeps the contract of events, or is refused.
        if cfg!(debug_assertions) {
            store.keep_contract(|kind, data| payload::check(kind, data).map_err(|breach| breach.explain()));
        }
        let replica = ReplicaId::from_uuid(uuid::Uuid::now_v7());
        let (changes, _) = watch::channel(0);
        let (nudge, _) = watch::channel(0);
        let token_key = root.derive("api-token", &[]);
        let (routes, signer) = (Routes::default(), Signer::new(&root.derive("context-token", &[])));
        let tokens = Tokens::new(&options.issuers).beside(options.identity.as_deref());
        let people = People::new(&options.operators);
        let rates = Rates::new(&options.rates);
        let guard_key = SigningKey::from_seed(&root.derive("guard", &[])).ok();
        let outbound = Outbound::new(root.derive("webhook", &[]));
        Self(Arc::new(Inner {
            store,
            dataplane,
            clock,
            secrets,
            options,
            replica,
            token_key,
            routes,
            rates,
            uses: Uses::default(),
            usage_days: Days::default(),
            tokens,
            people,
            signer,
            guard_key,
            outbound,
            streams: Streams::new(),
            notified: Notified::default(),
            timing: Timing::default(),
            kept: Kept::default(),
            nudge,
            changes,
        }))
    }

    /// Our own database.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The tenants' databases.
    #[must_use]
    pub fn dataplane(&self) -> &Dataplane {
        &self.0.dataplane
    }

    /// What this process remembers of tenants and how to reach them.
    #[must_use]
    pub fn routes(&self) -> &Routes {
        &self.0.routes
    }

    /// The days for which usage events have a place.
    pub(crate) fn usage_days(&self) -> &Days {
        &self.0.usage_days
    }

    /// What this process has counted of uses of features.
    pub(crate) fn uses(&self) -> &Uses {
        &self.0.uses
    }

    /// How often principals, tenants and strangers may call.
    #[must_use]
    pub fn rates(&self) -> &Rates {
        &self.0.rates
    }

    /// The operator's rules.
    #[must_use]
    pub fn governance(&self) -> &Governance {
        &self.0.options.governance
    }

    /// What verifies access tokens.
    pub(crate) fn tokens(&self) -> &Tokens {
        &self.0.tokens
    }

    /// What verifies access tokens of people of the operator.
    pub(crate) fn people(&self) -> &People {
        &self.0.people
    }

    pub(crate) fn signer(&self) -> Option<&Signer> {
        self.0.signer.as_ref()
    }

    /// The key that reports of the guard are signed with.
    pub(crate) fn guard_key(&self) -> Option<&SigningKey> {
        self.0.guard_key.as_ref()
    }

    /// What this process has for webhooks.
    #[must_use]
    pub fn outbound(&self) -> &Outbound {
        &self.0.outbound
    }

    /// What this process has for streams.
    #[must_use]
    pub fn streams(&self) -> &Streams {
        &self.0.streams
    }

    pub(crate) fn timing(&self) -> &Timing {
        &self.0.timing
    }

    /// What this process had to start anew of what works without being asked.
    #[must_use]
    pub fn kept(&self) -> &Kept {
        &self.0.kept
    }

    /// What this process has counted while it told people.
    #[must_use]
    pub fn notified(&self) -> &Notified {
        &self.0.notified
    }

    /// The settings.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.0.options
    }

    /// The key under which secrets of tokens are digested; derived, never stored.
    pub(crate) fn token_key(&self) -> &[u8] {
        self.0.token_key.as_slice()
    }

    /// This process.
    #[must_use]
    pub fn replica(&self) -> ReplicaId {
        self.0.replica
    }

    /// The present moment.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// Reads a secret.
    ///
    /// # Errors
    /// The reference leads nowhere.
    pub fn secret(&self, reference: &SecretRef) -> Result<SecretString, SecretError> {
        self.0.secrets.read(reference)
    }

    /// Tells the controllers of this process to look now. A hint: losing it costs one tick.
    pub fn nudge(&self) {
        self.0.routes.meet();
        self.0.nudge.send_modify(|count| *count = count.wrapping_add(1));
        self.0.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Tells only those who watch operations that something may have changed.
    pub fn nudge_watchers(&self) {
        self.0.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// A counter of nudges. A waiter that marks it as seen before it looks cannot miss one that comes meanwhile.
    #[must_use]
    pub fn nudges(&self) -> watch::Receiver<u64> {
        self.0.nudge.subscribe()
    }

    /// A counter that moves whenever something may have changed; for watchers of operations.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }
}

macro_rules! mint {
    ($($name:ident -> $type:ident),*) => {
        /// Mints time-ordered ids (UUID version 7).
        pub mod mint {
            $(
                #[doc = concat!("A fresh [`", stringify!($type), "`](super::", stringify!($type), ").")]
                #[must_use]
                pub fn $name() -> super::$type {
                    super::$type::from_uuid(uuid::Uuid::now_v7())
                }
            )*
        }
    };
}

mint!(tenant -> TenantId, operation -> OperationId, workflow -> WorkflowId, rollout -> RolloutId, event -> EventId, request -> RequestId, token -> TokenId, grant -> GrantId, webhook -> WebhookId, incident -> IncidentId);
