//! The operator's rules, asked before a change lasts.
//!
//! What somebody has the right to ([`Ctx::permit`]) may still not happen now: a second person has to agree, a region is not
//! allowed, a window is closed. The rules see the tenant as it is locked, so what they allowed is what is committed.
//! INVARIANT: a change that a caller asked for is committed after [`rule`] allowed it, and not otherwise: the store refuses
//! a transaction that was not ruled. Who cannot be asked allows nothing.

pub mod approvals;
mod facts;
mod status;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use tenantry_domain::Timestamp;
use tenantry_domain::policy::{self, ActorKind, Denial, Permit, Scope};
use tenantry_policy::{Answer, Decider, Engine, EnvironmentFacts, Question, Resource, Stage};
use tenantry_store::{StoreError, TenantRow, WriteTx};

pub(crate) use facts::About;
pub use status::{Status, status};
pub use tenantry_policy::Difference;

use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::tenants::edit::refuse_store;

/// Who decides, and how often that was tried.
#[derive(Debug, Clone, Default)]
pub struct Governance {
    decider: Option<Decider>,
    counts: Arc<Counts>,
    /// Set while the rules that the operator chose have not been seen yet.
    awaits: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct Counts {
    allowed: AtomicU64,
    refused: AtomicU64,
    away: AtomicU64,
    approved: AtomicU64,
}

/// Numbers since the process began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Questions that were allowed.
    pub allowed: u64,
    /// Questions that were refused.
    pub refused: u64,
    /// Questions that nobody could answer; the changes were refused.
    pub away: u64,
    /// Of the allowed: those that somebody's approval was needed for.
    pub approved: u64,
}

impl Governance {
    /// With a decision point that was set up. Without one, the rules that come with the product decide.
    #[must_use]
    pub fn new(decider: Decider) -> Self {
        Self { decider: Some(decider), ..Self::default() }
    }

    /// Lets nothing happen until [`Self::ready`]: the operator's rules are elsewhere, and nobody knows them yet.
    #[must_use]
    pub fn awaiting(self) -> Self {
        self.awaits.store(true, Ordering::Release);
        self
    }

    /// The operator's rules are in force.
    pub fn ready(&self) {
        self.awaits.store(false, Ordering::Release);
    }

    /// The numbers.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = &self.counts;
        Tally {
            allowed: read(&counts.allowed),
            refused: read(&counts.refused),
            away: read(&counts.away),
            approved: read(&counts.approved),
        }
    }

    /// The counters in the text form of Prometheus.
    #[must_use]
    pub fn render(&self) -> String {
        let tally = self.tally();
        let name = "tenantry_policy_decisions_total";
        let mut text =
            format!("# HELP {name} Questions to the operator's rules, by what came of them.\n# TYPE {name} counter\n");
        for (verdict, count) in [("allowed", tally.allowed), ("refused", tally.refused), ("unavailable", tally.away)] {
            text.push_str(&format!("{name}{{verdict=\"{verdict}\"}} {count}\n"));
        }
        text
    }

    async fn ask(&self, question: &Question) -> Result<Answer, Refusal> {
        if self.awaits.load(Ordering::Acquire) {
            self.counts.away.fetch_add(1, Ordering::Relaxed);
            tracing::error!(action = question.action, "the operator's rules were not found yet; nothing is changed");
            return Err(Refusal::NoPolicy(question.action.clone()));
        }
        let own;
        let decider = match &self.decider {
            Some(decider) => decider,
            None => {
                own = shipped().ok_or_else(|| Refusal::NoPolicy(question.action.clone()))?;
                &own
            }
        };
        let answer = decider.decide(question).await.map_err(|away| {
            self.counts.away.fetch_add(1, Ordering::Relaxed);
            tracing::error!(action = away.action, error = %away.source, "policy cannot decide; nothing is changed");
            Refusal::NoPolicy(away.action)
        })?;
        for fault in &answer.faults {
            tracing::error!(rule = fault.rule, problem = fault.problem, "a rule could not be evaluated");
        }
        Ok(answer)
    }

    fn count(&self, is_allowed: bool, is_approved: bool) {
        let counts = &self.counts;
        let count = if is_allowed { &counts.allowed } else { &counts.refused };
        count.fetch_add(1, Ordering::Relaxed);
        counts.approved.fetch_add(u64::from(is_approved), Ordering::Relaxed);
    }

    pub(crate) const fn decider(&self) -> Option<&Decider> {
        self.decider.as_ref()
    }
}

/// The rules that come with the product, compiled once a process.
fn shipped() -> Option<Decider> {
    static ENGINE: OnceLock<Option<Engine>> = OnceLock::new();
    let engine = ENGINE.get_or_init(|| {
        let compiled = tenantry_policy::governance::builtin();
        compiled
            .inspect_err(|error| tracing::error!(%error, "the shipped rules cannot be read"))
            .ok()
            .map(|all| all.engine)
    });
    engine.clone().map(|engine| Decider::Builtin(Arc::new(Stage::new(engine))))
}

/// The thing that a question is about.
pub(crate) enum Thing<'a> {
    /// A tenant, locked.
    Tenant(&'a TenantRow),
    /// A tenant that this transaction makes.
    Unborn(&'a TenantRow),
    /// The whole environment.
    Environment,
}

/// Asks about what a permit was given for, about the tenant as it is now. Locks the tenant.
///
/// # Errors
/// A rule refuses, or nobody can decide; nothing may be committed then.
pub(crate) async fn rule(
    cx: &Ctx,
    deps: &Deps,
    permit: &Permit,
    tx: &mut WriteTx,
    about: About,
) -> Result<(), Refusal> {
    let row = match permit.scope() {
        Scope { tenant: Some(id), .. } => match tx.tenants().lock(*id).await {
            Ok(row) => Some(row),
            // What is left of one that is gone belongs to the environment.
            Err(StoreError::NotFound) => None,
            Err(error) => return Err(refuse_store(error)),
        },
        Scope { tenant: None, .. } => None,
    };
    let thing = row.as_ref().map_or(Thing::Environment, Thing::Tenant);
    rule_on(cx, deps, permit.action(), tx, thing, about).await
}

/// Asks about one action on one thing. Where several are done in one transaction, each is asked about.
///
/// # Errors
/// As of [`rule`].
pub(crate) async fn rule_on(
    cx: &Ctx,
    deps: &Deps,
    action: &'static str,
    tx: &mut WriteTx,
    thing: Thing<'_>,
    about: About,
) -> Result<(), Refusal> {
    let governance = deps.governance();
    let resource = match &thing {
        Thing::Tenant(row) | Thing::Unborn(row) => Resource::Tenant(facts::tenant(row, about.level)),
        Thing::Environment => {
            Resource::Environment(EnvironmentFacts { name: cx.environment.to_string(), ..EnvironmentFacts::default() })
        }
    };
    let mut question = facts::question(cx, action, resource, about);
    let mut answer = governance.ask(&question).await?;
    let mut spent = Vec::new();
    if !answer.allowed && cx.actor.kind != ActorKind::Controller {
        let tenant = match &thing {
            Thing::Tenant(row) => Some((row.id, row.version)),
            // Nobody can have seen a tenant that is there since this transaction.
            Thing::Unborn(_) | Thing::Environment => None,
        };
        let open = tx.approvals().open(&cx.actor.to_string(), action, tenant).await.map_err(refuse_store)?;
        spent = approvals::of_others(cx, deps, open).await?;
        if !spent.is_empty() {
            question.context.approvals = spent.iter().map(|row| row.given.given_by.clone()).collect();
            answer = governance.ask(&question).await?;
        }
    }
    governance.count(answer.allowed, answer.allowed && !spent.is_empty());
    if !answer.allowed {
        return Err(refused(action, &answer));
    }
    if !spent.is_empty() {
        tx.approvals().spend(&spent);
    }
    tx.allow(format!("{} {}", policy::FINGERPRINT, answer.fingerprint));
    Ok(())
}

/// Asks about what a controller is about to decide by itself. There is no approval for that.
///
/// # Errors
/// As of [`rule`].
pub(crate) async fn rule_ours(
    deps: &Deps,
    action: &'static str,
    row: &TenantRow,
    about: About,
    now: Timestamp,
) -> Result<(), Refusal> {
    let governance = deps.governance();
    let question = facts::question_of_ours(action, Resource::Tenant(facts::tenant(row, about.level)), about, now);
    let answer = governance.ask(&question).await?;
    governance.count(answer.allowed, false);
    if answer.allowed { Ok(()) } else { Err(refused(action, &answer)) }
}

fn refused(action: &'static str, answer: &Answer) -> Refusal {
    let remedy = answer.remedy.clone().unwrap_or_default();
    Refusal::from(Denial { rule: answer.rules.join("`, `"), action, remedy, hidden: None })
}
