//! Moving tenants of a plan to one of its versions, a batch at a time.
//!
//! A batch is a look at some tenants; each of them that does not have the version yet is moved in a transaction of its own.
//! So a call that is repeated, or was cut short, goes on with those that are left, and needs no memory of what was done.

use serde_json::json;
use tenantry_domain::audit::Category;
use tenantry_domain::code::{FieldError, Kind};
use tenantry_domain::event::{self, Type};
use tenantry_domain::id::TenantId;
use tenantry_domain::name::PlanCode;
use tenantry_domain::plan::{PlanSpec, entitlement, version};
use tenantry_domain::policy::Permit;
use tenantry_domain::tenant::Slug;
use tenantry_domain::tenant::lifecycle::{Action, Phase};
use tenantry_store::{CatalogKind, Entry, HeldPlan, PlanTenants, StoreError, TenantChange, TenantRow, WriteTx};

use super::room;
use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::flags::sha256;
use crate::governance::{self, About, Thing};
use crate::quotas;
use crate::refusal::Refusal;
use crate::tenants::edit::{TenantRef, refuse_store, require, settle_record};
use crate::tenants::{promises, refer};
use crate::timing;

/// The most tenants that one call names.
pub const MOST_TENANTS: usize = 50;

/// The most tenants that one call moves or is refused for; a call takes well under a second so.
const BATCH: usize = 50;

/// How many tenants are looked at together, and at most in one call. A small share of many tenants takes few calls so.
const LOOK: usize = 1_000;
const LOOKS: usize = 10;

/// Which tenants are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// A share of all, 0 to 100 percent.
    Share(u8),
    /// These, at most [`MOST_TENANTS`].
    Tenants(Vec<TenantRef>),
}

/// What somebody wants to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The version that they are to have; the newest when absent.
    pub to: Option<i64>,
    /// Only those that have this version; all when absent.
    pub from: Option<i64>,
    /// Which tenants.
    pub who: Who,
    /// Where the batch before ended; absent for the first.
    pub after: Option<TenantId>,
    /// Whether it is only looked at what would happen.
    pub dry_run: bool,
}

/// A tenant that was moved, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Which.
    pub tenant: TenantId,
    /// Its name.
    pub slug: Slug,
    /// The version that it had.
    pub from: i64,
}

/// A tenant that could not be moved and has what it had.
#[derive(Debug)]
pub struct Left {
    /// Which.
    pub tenant: TenantId,
    /// Its name.
    pub slug: Slug,
    /// Why.
    pub why: Refusal,
}

/// What one call did.
#[derive(Debug)]
pub struct Upgraded {
    /// The version that it was about.
    pub version: i64,
    /// Who was moved.
    pub moved: Vec<Moved>,
    /// Who could not be moved.
    pub left: Vec<Left>,
    /// How many were looked at and are not in the share, or had the version already.
    pub untouched: u64,
    /// Where the next batch begins; absent when there is none.
    pub next: Option<TenantId>,
}

/// Moves a batch of a plan's tenants to one of its versions.
///
/// # Errors
/// There is no such plan, version or tenant, or no tenant can have the version; nothing was changed then, except by a batch
/// whose version was overtaken while it ran.
pub async fn upgrade(cx: &Ctx, deps: &Deps, plan: &PlanCode, asked: &Asked) -> Result<Upgraded, Refusal> {
    let permit = cx.permit_environment("plan.upgrade")?;
    let reader = deps.store().read(&cx.environment);
    let absent = || Refusal::NoObject { kind: "plan".to_owned(), name: plan.to_string() };
    let newest = reader.catalog(CatalogKind::Plan, plan.as_str()).await.map_err(refuse_store)?.ok_or_else(absent)?;
    let job = Job { cx, deps, permit, plan, to: asked.to.unwrap_or(newest.version), asked };
    let mut done = Upgraded { version: job.to, moved: Vec::new(), left: Vec::new(), untouched: 0, next: None };
    job.check().await?;
    match &asked.who {
        Who::Tenants(tenants) => {
            for tenant in tenants.iter().take(MOST_TENANTS) {
                let id = require(cx, deps, tenant).await?.id;
                job.one(id, &mut done).await?;
            }
        }
        Who::Share(percent) => job.share(*percent, &mut done).await?,
    }
    if !done.moved.is_empty() && !asked.dry_run {
        deps.nudge();
    }
    Ok(done)
}

struct Job<'a> {
    cx: &'a Ctx,
    deps: &'a Deps,
    permit: Permit,
    plan: &'a PlanCode,
    to: i64,
    asked: &'a Asked,
}

/// What became of one tenant.
enum Fate {
    Moved { from: i64 },
    Untouched,
}

impl Job<'_> {
    async fn share(&self, percent: u8, done: &mut Upgraded) -> Result<(), Refusal> {
        let mut after = self.asked.after;
        for _ in 0..LOOKS {
            let of = PlanTenants {
                plan: self.plan.as_str(),
                to: self.to,
                from: self.asked.from,
                after,
                limit: i64::try_from(LOOK).unwrap_or(i64::MAX),
            };
            let ids = self.deps.store().read(&self.cx.environment).plan_tenants(&of).await.map_err(refuse_store)?;
            for id in &ids {
                after = Some(*id);
                if !version::is_in(self.plan, self.to, *id, percent, sha256) {
                    done.untouched += 1;
                    continue;
                }
                self.one(*id, done).await?;
                if done.moved.len() + done.left.len() >= BATCH {
                    done.next = after;
                    return Ok(());
                }
            }
            if ids.len() < LOOK {
                return Ok(());
            }
        }
        done.next = after;
        Ok(())
    }

    /// Whether a tenant can have the version at all.
    async fn check(&self) -> Result<(), Refusal> {
        let mut tx = self.open().await?;
        let found = self.hold(&mut tx).await;
        tx.rollback().await;
        found.map(drop)
    }

    async fn open(&self) -> Result<WriteTx, Refusal> {
        if timing::standing(self.deps).await == timing::Standing::Apart {
            return Err(Refusal::ClockApart);
        }
        self.deps.store().write(&self.permit, self.cx.now).await.map_err(refuse_store)
    }

    /// The plan, held, and what the version says.
    async fn hold(&self, tx: &mut WriteTx) -> Result<(HeldPlan, PlanSpec), Refusal> {
        let absent = || Refusal::NoObject { kind: "plan".to_owned(), name: self.plan.to_string() };
        let held = tx.catalog().hold_plan(self.plan.as_str()).await.map_err(refuse_store)?.ok_or_else(absent)?;
        if self.to < held.floor {
            let message = format_args!("its tenants follow version {}; none can have an older one", held.floor);
            return Err(Refusal::Request(vec![FieldError::new("to", message)]));
        }
        let spec = tx.catalog().plan_at(self.plan.as_str(), self.to).await.map_err(refuse_store)?;
        let spec = spec.ok_or(Refusal::NoVersion(self.to))?;
        let unreadable = |_| Refusal::Request(vec![FieldError::new("to", "cannot be read by this release")]);
        Ok((held, serde_json::from_value(spec).map_err(unreadable)?))
    }

    /// Moves one tenant, or says why not. What is wrong with the whole is an error.
    async fn one(&self, id: TenantId, done: &mut Upgraded) -> Result<(), Refusal> {
        let mut tx = self.open().await?;
        // First the plan and then the tenant, as whoever applies both does.
        let held = self.hold(&mut tx).await?;
        let row = match tx.tenants().lock(id).await {
            Ok(row) => row,
            Err(StoreError::NotFound) => {
                done.untouched += 1;
                return Ok(());
            }
            Err(error) => return Err(refuse_store(error)),
        };
        let slug = row.slug.clone();
        match self.moved(tx, row, held).await {
            Ok(Fate::Moved { from }) => done.moved.push(Moved { tenant: id, slug, from }),
            Ok(Fate::Untouched) => done.untouched += 1,
            Err(why) if matches!(why.code().kind(), Kind::Unavailable | Kind::Internal) => return Err(why),
            Err(why) => done.left.push(Left { tenant: id, slug, why }),
        }
        Ok(())
    }

    async fn moved(
        &self,
        mut tx: WriteTx,
        row: TenantRow,
        (held, plan): (HeldPlan, PlanSpec),
    ) -> Result<Fate, Refusal> {
        if row.spec.plan != *self.plan {
            // Named by somebody, or bound to another plan since it was looked up.
            return match &self.asked.who {
                Who::Share(_) => Ok(Fate::Untouched),
                Who::Tenants(_) => {
                    let message = format_args!("tenant `{}` has plan `{}`", row.slug, row.spec.plan);
                    Err(Refusal::Request(vec![FieldError::new("tenants", message)]))
                }
            };
        }
        let from = version::held(row.plan_version, held.floor, held.version);
        let is_meant = self.asked.from.is_none_or(|only| only == from);
        if from == self.to || !is_meant || row.state.phase() == Phase::Deleted {
            return Ok(Fate::Untouched);
        }
        let level = refer::suits(self.cx, &mut tx, &row, &plan).await?;
        let old = quotas::entitlements(self.cx, &mut tx, &row).await?;
        let new = entitlement::derive(self.plan, &plan, &row.spec.overrides, self.cx.now);
        room::check(&mut tx, &row, &old, &new).await?;
        if let Some(placement) = &row.placement {
            promises::check(self.cx, &mut tx, row.id, Some(&old), &new, placement).await?;
        }
        let about = About::default().level(level);
        governance::rule_on(self.cx, self.deps, "plan.upgrade", &mut tx, Thing::Tenant(&row), about).await?;
        if self.asked.dry_run {
            tx.rollback().await;
            return Ok(Fate::Moved { from });
        }
        // A version of the tenant's own, though nothing else is wanted of it: what the plan says is brought into effect by
        // the same workflow as every other change, and whoever read the tenant before reads it again.
        let change = TenantChange {
            id: row.id,
            from_version: row.version,
            spec: row.spec.clone(),
            rename: None,
            action: "plan.upgrade".to_owned(),
            correlation_id: self.cx.correlation_id.clone(),
        };
        let changed = tx.tenants().apply(&change).await.map_err(refuse_store)?;
        tx.tenants().give_plan(row.id, self.to).map_err(refuse_store)?;
        let changed = TenantRow { plan_version: self.to, ..changed };
        let entry = self.entry(&changed, from);
        settle_record(&mut tx, changed)?;
        tx.commit(vec![entry]).await.map_err(refuse_store)?;
        Ok(Fate::Moved { from })
    }

    fn entry(&self, row: &TenantRow, from: i64) -> Entry {
        let mut audit = self.cx.audit(&self.permit, Category::Mutation, format!("tenant/{}", row.slug));
        audit.version = Some(row.version);
        audit.changes = json!({ "plan": self.plan, "from": from, "to": self.to });
        let data = json!({
            "slug": row.slug, "version": row.version, "action": Action::Update, "changed": [], "plan": row.spec.plan,
            "planVersion": self.to, "planVersionBefore": from, "app": row.spec.app,
            "externalIds": row.spec.external_ids, "wanted": row.spec.state,
        });
        Entry::tenant(row.id, audit, vec![event::Draft::new(Type::PlanChanged, data)])
    }
}
