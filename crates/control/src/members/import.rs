//! Many members at once: each row is done or refused for itself, and the report says which.
//!
//! All rows that are done are one commit, so a file is in effect as far as its report says or not at all; the same file
//! again changes nothing.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenantry_domain::code::FieldError;
use tenantry_domain::event::Type;
use tenantry_domain::id::UserId;
use tenantry_domain::member::decide::{self, Target};
use tenantry_domain::member::{Email, Identity, Refused, RoleName, Rules};

use super::{Entered, Scene, enter};
use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::tenants::edit::{TenantRef, refuse_store, replayed};

/// One row of a file.
#[derive(Debug, Clone)]
pub enum ImportRow {
    /// Is to be a member with this role.
    Member {
        /// What the issuer calls them.
        identity: Identity,
        /// Their address.
        email: Email,
        /// Their name, where it is known.
        name: Option<String>,
        /// What they will hold.
        role: RoleName,
    },
    /// Is to be a member no more.
    Gone(Identity),
    /// Could not be read.
    Unreadable(Vec<FieldError>),
}

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// A new member.
    Added,
    /// A member with another role, address or name.
    Changed,
    /// A member no more.
    Removed,
    /// It was so already.
    Unchanged,
    /// Nothing was done.
    Refused,
}

impl Outcome {
    /// The word in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Removed => "removed",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
        }
    }
}

/// What became of one row, and why if it was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RowReport {
    /// Its number, from 1.
    pub row: usize,
    /// What became of it.
    pub outcome: Outcome,
    /// Whose it is, once they are known.
    pub user: Option<UserId>,
    /// The error's code, `TEN-0064`.
    pub code: Option<String>,
    /// What is wrong.
    pub message: Option<String>,
}

/// What became of all rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Imported {
    /// Whether it was only tried.
    pub dry_run: bool,
    /// One per row, in order.
    pub rows: Vec<RowReport>,
}

impl Imported {
    /// How many rows ended like this.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> usize {
        self.rows.iter().filter(|row| row.outcome == outcome).count()
    }
}

/// Most rows of one request.
pub const MOST_ROWS: usize = 1000;

struct Done {
    outcome: Outcome,
    user: Option<UserId>,
    told: Option<(Type, Value)>,
}

impl Done {
    const fn unchanged(user: Option<UserId>) -> Self {
        Self { outcome: Outcome::Unchanged, user, told: None }
    }
}

/// Brings members into line with rows.
///
/// # Errors
/// There is no such tenant, or the database's. What is wrong with a row is in the report.
pub async fn import(
    cx: &Ctx,
    deps: &Deps,
    tenant: &TenantRef,
    acting: Option<UserId>,
    rows: &[ImportRow],
    dry_run: bool,
) -> Result<Imported, Refusal> {
    let mut scene = match enter(cx, deps, tenant, "member.import", acting).await? {
        Entered::Replay(answer) => return replayed(answer),
        Entered::Fresh(scene) => *scene,
    };
    let rules = scene.rules;
    let (mut reports, mut told) = (Vec::with_capacity(rows.len()), Vec::new());
    for (index, row) in rows.iter().enumerate() {
        let done = one(&mut scene, deps, &rules, row).await;
        let report = |outcome, user| RowReport { row: index + 1, outcome, user, code: None, message: None };
        reports.push(match done {
            Ok(done) => {
                told.extend(done.told);
                report(done.outcome, done.user)
            }
            Err(refusal) if is_about_the_row(&refusal) => RowReport {
                code: Some(refusal.code().to_string()),
                message: Some(message(&refusal)),
                ..report(Outcome::Refused, None)
            },
            Err(refusal) => return Err(refusal),
        });
    }
    let answer = Imported { dry_run, rows: reports };
    let is_unchanged = [Outcome::Added, Outcome::Changed, Outcome::Removed].iter().all(|what| answer.count(*what) == 0);
    if dry_run || is_unchanged {
        scene.tx.rollback().await;
        return Ok(answer);
    }
    let counted = |outcome: Outcome| (outcome.as_str().to_owned(), json!(answer.count(outcome)));
    let all = [Outcome::Added, Outcome::Changed, Outcome::Removed, Outcome::Unchanged, Outcome::Refused];
    let changes = Value::Object(all.into_iter().map(counted).collect());
    scene.finish(cx, deps, "members".to_owned(), changes, told, &answer).await?;
    Ok(answer)
}

/// What a caller did wrong belongs into the report; that our database is away does not.
fn is_about_the_row(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::Member(_) | Refusal::Request(_))
}

fn message(refusal: &Refusal) -> String {
    let fields = refusal.fields();
    if fields.is_empty() {
        return refusal.to_string();
    }
    let told: Vec<_> = fields.iter().map(|error| format!("{} {}", error.field, error.message)).collect();
    told.join("; ")
}

async fn one(scene: &mut Scene, deps: &Deps, rules: &Rules, row: &ImportRow) -> Result<Done, Refusal> {
    match row {
        ImportRow::Unreadable(wrong) => Err(Refusal::Request(wrong.clone())),
        ImportRow::Gone(identity) => gone(scene, identity).await,
        ImportRow::Member { identity, email, name, role } => {
            let tenant = scene.id();
            let wanted = scene.resolve(role).await?;
            let mut members = scene.tx.members();
            let user = members.by_identity(identity).await.map_err(refuse_store)?;
            let found = match &user {
                Some(user) => members.get(tenant, user.id).await.map_err(refuse_store)?,
                None => None,
            };
            let roll = members.roll(tenant).await.map_err(refuse_store)?;
            let Some(found) = found else {
                if let Some(user) = &user
                    && deps.options().members.single
                    && members.is_elsewhere(user.id, tenant).await.map_err(refuse_store)?
                {
                    return Err(Refused::Elsewhere.into());
                }
                let count = u64::try_from(roll.members).unwrap_or(0);
                decide::may_add(scene.acting(), &wanted, rules, count)?;
                decide::fits(rules, roll.used())?;
                let fresh = UserId::from_uuid(uuid::Uuid::now_v7());
                let mut members = scene.tx.members();
                let user = members.put_user(fresh, identity, email, name.as_deref()).await.map_err(refuse_store)?.id;
                members.add(tenant, user, role).await.map_err(refuse_store)?.ok_or(Refused::Member)?;
                let data = json!({ "user": user, "role": role });
                return Ok(Done { outcome: Outcome::Added, user: Some(user), told: Some((Type::MemberJoined, data)) });
            };
            let id = found.user.id;
            let is_same_role = found.role.name() == *role;
            if !is_same_role {
                let target = Target { user: id, role: &found.role, owners: roll.owners };
                decide::may_change_role(scene.acting(), &target, &wanted)?;
            }
            let is_told = found.user.email == *email && (name.is_none() || *name == found.user.name);
            if is_same_role && is_told {
                return Ok(Done::unchanged(Some(id)));
            }
            let mut members = scene.tx.members();
            members.put_user(id, identity, email, name.as_deref()).await.map_err(refuse_store)?;
            if is_same_role {
                return Ok(Done { outcome: Outcome::Changed, user: Some(id), told: None });
            }
            members.set_role(tenant, id, role).await.map_err(refuse_store)?;
            let data = json!({ "user": id, "from": found.role.name(), "role": role });
            Ok(Done { outcome: Outcome::Changed, user: Some(id), told: Some((Type::MemberRoleChanged, data)) })
        }
    }
}

/// Somebody who is no member already is what the row asks for.
async fn gone(scene: &mut Scene, identity: &Identity) -> Result<Done, Refusal> {
    let tenant = scene.id();
    let mut members = scene.tx.members();
    let Some(user) = members.by_identity(identity).await.map_err(refuse_store)? else {
        return Ok(Done::unchanged(None));
    };
    let Some(found) = members.get(tenant, user.id).await.map_err(refuse_store)? else {
        return Ok(Done::unchanged(None));
    };
    let owners = members.roll(tenant).await.map_err(refuse_store)?.owners;
    decide::may_remove(scene.acting(), &Target { user: user.id, role: &found.role, owners })?;
    scene.tx.members().remove(tenant, user.id).await.map_err(refuse_store)?;
    let data = json!({ "user": user.id, "role": found.role.name() });
    Ok(Done { outcome: Outcome::Removed, user: Some(user.id), told: Some((Type::MemberRemoved, data)) })
}
