//! Starts the workflow that is due for each tenant that is not as its manifest says.
//!
//! Level-triggered: whether it was told of a change, found it on a tick, or another replica was quicker makes no
//! difference. Starting is guarded by "one unfinished workflow per tenant" in the store, so two replicas that see
//! the same tenant start one workflow.
//!
//! INVARIANT: a tenant for which nothing can be done takes nobody's place. It is passed over for a while, in the version
//! that was seen; a newer version is looked at at once.

use std::collections::HashMap;
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::json;
use tenantry_domain::Timestamp;
use tenantry_domain::audit::Category;
use tenantry_domain::event;
use tenantry_domain::id::TenantId;
use tenantry_domain::policy::{self, Actor, Rights, Scope};
use tenantry_domain::reconcile::{self, Desired};
use tenantry_domain::workflow::{Definition, Kind};
use tenantry_store::{Due, Entry, NewWorkflow, StoreError, TenantRow};

use crate::controllers::driver::{Controller, Look};
use crate::ctx::Ctx;
use crate::deps::{Deps, mint};
use crate::governance::{self, About};
use crate::manifests::plan::{desired, observed};

/// The controller.
#[derive(Debug, Default)]
pub struct Activation {
    passed: HashMap<TenantId, Passed>,
}

/// A tenant for which nothing could be done.
#[derive(Debug, Clone, Copy)]
struct Passed {
    /// In this version of its manifest.
    version: i64,
    /// Looked at again from then on.
    until: Timestamp,
}

/// Tenants per look: enough to keep all workers busy, few enough that a commit stays short.
const BATCH: u32 = 64;
/// How long an erasure that the rules refuse is left alone: they change seldom, and each question costs a decision.
const REFUSED: SignedDuration = SignedDuration::from_mins(5);
/// How long a tenant is left alone for which the sieve of the store and the domain's decision differ: what differs is
/// mostly over by then, as when a workflow ended meanwhile.
const UNDECIDED: SignedDuration = SignedDuration::from_secs(5);
/// The most tenants that are passed over at a time: their ids are a parameter of each look.
const PASSED: usize = 50_000;

impl Controller for Activation {
    const NAME: &'static str = "activation";
    const IS_NUDGED: bool = true;

    fn every(&self, deps: &Deps) -> Duration {
        deps.options().tick
    }

    async fn look(&mut self, deps: &Deps) -> Result<Look, StoreError> {
        let now = deps.now();
        self.passed.retain(|_, passed| passed.until > now);
        let passed: Vec<_> = self.passed.iter().map(|(id, passed)| (*id, passed.version)).collect();
        let mut due = deps.store().due(None, now, &passed, BATCH).await?;
        let is_full = due.len() == BATCH as usize;
        due.sort_by(|one, other| one.environment.cmp(&other.environment));
        let (mut started, mut passed) = (0, 0);
        for ours in due.chunk_by(|one, other| one.environment == other.environment) {
            let done = start(deps, ours).await?;
            started += done.started;
            passed += done.passed.len();
            let room = PASSED.saturating_sub(self.passed.len());
            self.passed.extend(done.passed.into_iter().take(room));
        }
        if started > 0 {
            deps.nudge();
        }
        let moved = started > 0 || (passed > 0 && self.passed.len() < PASSED);
        Ok(if is_full && moved { Look::Again } else { Look::Done })
    }
}

/// What a look did in one environment.
#[derive(Default)]
struct Done {
    started: usize,
    passed: Vec<(TenantId, Passed)>,
}

/// The chain of requests that the newest version came by, so that one id leads from the request to its last effect.
async fn correlation(deps: &Deps, row: &TenantRow) -> String {
    let version = deps.store().read(&row.environment).version(row.id, row.version).await;
    let found = version.ok().flatten().map(|version| version.correlation_id).filter(|id| !id.is_empty());
    found.unwrap_or_else(|| mint::request().to_string())
}

/// Starts what is due, all in one commit. A tenant that somebody else is at is left out.
async fn start(deps: &Deps, due: &[Due]) -> Result<Done, StoreError> {
    let Some(first) = due.first() else { return Ok(Done::default()) };
    let now = deps.now();
    let permit = policy::controller("workflow.start", Scope::environment(first.environment.clone()));
    let mut tx = deps.store().write(&permit, now).await?;
    let ids: Vec<_> = due.iter().map(|due| due.id).collect();
    let rows = tx.tenants().lock_many(&ids).await?;
    let (mut entries, mut passed) = (Vec::new(), Vec::new());
    for row in rows {
        let pass = |time| (row.id, Passed { version: row.version, until: now.saturating_add(time).unwrap_or(now) });
        let app_version = due.iter().find(|due| due.id == row.id).map_or(0, |due| due.desired_app_version);
        let wanted = Desired { app_version, ..desired(&row, &row.spec) };
        let Ok(Some(kind)) = reconcile::due(&wanted, &observed(&row), now) else {
            passed.push(pass(UNDECIDED));
            continue;
        };
        if tx.workflows().open_of(row.id).await?.is_some() {
            continue;
        }
        // The request may be days old: a hold that came since is kept.
        if kind == Kind::Delete
            && let Err(refusal) = governance::rule_ours(deps, "tenant.purge", &row, About::default(), now).await
        {
            tracing::warn!(tenant = %row.slug, %refusal, "the tenant is not erased");
            passed.push(pass(REFUSED));
            continue;
        }
        let cx = Ctx {
            actor: Actor::controller(Activation::NAME),
            person: None,
            rights: Rights::all(),
            environment: row.environment.clone(),
            request_id: mint::request(),
            correlation_id: correlation(deps, &row).await,
            now,
            idempotency: None,
        };
        let new = NewWorkflow {
            id: mint::workflow(),
            tenant: row.id,
            kind,
            definition_version: Definition::newest(kind).version,
            target_version: row.version,
            input: json!({ "slug": row.slug, "correlationId": cx.correlation_id }),
        };
        tx.workflows().start(&new).await?;
        let mut audit = cx.audit(&permit, Category::Workflow, format!("tenant/{}", row.slug));
        audit.actor = cx.actor.clone();
        audit.changes = json!({ "workflow": new.id, "kind": kind, "version": row.version });
        let data = json!({ "workflow": new.id, "kind": kind, "version": row.version });
        entries.push(Entry::tenant(row.id, audit, vec![event::Draft::new(event::Type::OperationStarted, data)]));
    }
    let started = entries.len();
    if started == 0 {
        tx.rollback().await;
        return Ok(Done { started, passed });
    }
    match tx.commit(entries).await {
        Ok(_) => Ok(Done { started, passed }),
        // Another replica was quicker with one of them; the next look sees what is left.
        Err(StoreError::WorkflowRunning { .. }) => Ok(Done { started: 0, passed }),
        Err(error) => Err(error),
    }
}
