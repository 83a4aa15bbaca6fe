//! Many members at once: each row is done or refused for itself, and the report says which.
//!
//! All rows that are done are one commit, so a file is in effect as far as its report says or not at all; the same file
//! again changes nothing. A row counts with what the rows before it did, also to the acting member.
//! Rights and rules are asked about what a file does, as they would be by single calls.
//! INVARIANT: the audit names every user whom a file touched, and how; whoever is a member of nothing afterwards is
//! forgotten, and a file tells nobody who is known elsewhere.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenantry_domain::code::FieldError;
use tenantry_domain::event::Type;
use tenantry_domain::id::UserId;
use tenantry_domain::member::decide::{self, Target};
use tenantry_domain::member::{Acting, Email, Identity, Refused, Role, RoleName};
use tenantry_store::{Card, MemberRow, Roll};

use super::{Entered, Fact, Scene, enter};
use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::governance::{self, About, Thing};
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

/// Rows that one entry of the audit tells of.
const TOLD_TOGETHER: usize = 100;

struct Done {
    outcome: Outcome,
    user: Option<UserId>,
    /// The role before and after, where there was or is one.
    from: Option<RoleName>,
    to: Option<RoleName>,
}

impl Done {
    const fn unchanged(user: Option<UserId>) -> Self {
        Self { outcome: Outcome::Unchanged, user, from: None, to: None }
    }

    /// What the audit keeps of it; nothing of a row that changed nothing.
    fn fact(&self, row: usize) -> Option<Value> {
        let user = self.user.filter(|_| self.outcome != Outcome::Unchanged)?;
        let roles = [("from", &self.from), ("role", &self.to)];
        let mut fact = json!({ "row": row, "outcome": self.outcome, "user": user });
        for (name, role) in roles {
            if let (Some(role), Some(fact)) = (role, fact.as_object_mut()) {
                fact.insert(name.to_owned(), json!(role));
            }
        }
        Some(fact)
    }

    fn told(&self) -> Option<(Type, Value)> {
        let user = self.user?;
        match (self.outcome, &self.from, &self.to) {
            (Outcome::Added, _, Some(to)) => Some((Type::MemberJoined, json!({ "user": user, "role": to }))),
            (Outcome::Changed, Some(from), Some(to)) => {
                Some((Type::MemberRoleChanged, json!({ "user": user, "from": from, "role": to })))
            }
            (Outcome::Removed, Some(from), _) => Some((Type::MemberRemoved, json!({ "user": user, "role": from }))),
            _ => None,
        }
    }
}

/// What the audit and the events keep of a row.
type Told = (Value, Option<(Type, Value)>);

/// Brings members into line with rows.
///
/// # Errors
/// There is no such tenant, the caller lacks the right to something that the file does or a rule forbids it, or the
/// database's. What is wrong with a row is in the report.
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
    for action in actions(rows) {
        cx.permit(action, scene.id())?;
        let Scene { tx, tenant, .. } = &mut scene;
        governance::rule_on(cx, deps, action, tx, Thing::Tenant(tenant), About::default()).await?;
    }
    let mut run = Run::begin(scene, deps, rows).await?;
    let (mut reports, mut done) = (Vec::with_capacity(rows.len()), Vec::new());
    for (index, row) in rows.iter().enumerate() {
        let number = index + 1;
        let report = |outcome, user| RowReport { row: number, outcome, user, code: None, message: None };
        reports.push(match run.one(row).await {
            Ok(one) => {
                let report = report(one.outcome, one.user);
                done.extend(one.fact(number).map(|fact| (fact, one.told())));
                report
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
    if dry_run || done.is_empty() {
        run.scene.tx.rollback().await;
        return Ok(answer);
    }
    let scene = run.end().await?;
    scene.finish_all(cx, deps, facts(&answer, &done), &answer).await?;
    Ok(answer)
}

/// What a file does, as single calls are named. Whether a row adds or changes somebody shows only when it is its turn.
fn actions(rows: &[ImportRow]) -> BTreeSet<&'static str> {
    let of = |row: &ImportRow| match row {
        ImportRow::Member { .. } => &["member.add", "member.update"][..],
        ImportRow::Gone(_) => &["member.remove"],
        ImportRow::Unreadable(_) => &[],
    };
    rows.iter().flat_map(of).copied().collect()
}

/// What the audit tells: how many rows became what, and in entries of a bounded size which user became what.
fn facts(answer: &Imported, done: &[Told]) -> Vec<Fact> {
    let all = [Outcome::Added, Outcome::Changed, Outcome::Removed, Outcome::Unchanged, Outcome::Refused];
    let counts: BTreeMap<_, _> = all.into_iter().map(|outcome| (outcome.as_str(), answer.count(outcome))).collect();
    let parts = done.chunks(TOLD_TOGETHER);
    let of = parts.len();
    let fact = |(part, rows): (usize, &[Told])| {
        let (facts, told): (Vec<_>, Vec<_>) = rows.iter().cloned().unzip();
        let mut changes = json!({ "part": part + 1, "parts": of, "rows": facts });
        if let Some(changes) = changes.as_object_mut() {
            changes.extend(counts.iter().map(|(outcome, count)| ((*outcome).to_owned(), json!(count))));
        }
        Fact { target: "members".to_owned(), changes, told: told.into_iter().flatten().collect() }
    };
    parts.enumerate().map(fact).collect()
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

/// The state that rows change one after the other, as the transaction has it.
struct Run<'d> {
    scene: Scene,
    deps: &'d Deps,
    roll: Roll,
    /// Everybody whom the file names and who is known, or was made for it.
    users: HashMap<Identity, UserId>,
    roles: HashMap<RoleName, Role>,
    /// The member on whose behalf it is, with what they hold by now.
    acting: Option<Acting>,
    /// They are one no more.
    has_left: bool,
}

impl<'d> Run<'d> {
    /// Makes and holds everybody at once, in one order for all files: two tenants may name the same people.
    async fn begin(mut scene: Scene, deps: &'d Deps, rows: &[ImportRow]) -> Result<Self, Refusal> {
        let mut wanted: BTreeMap<&Identity, Option<UserId>> = BTreeMap::new();
        for row in rows {
            match row {
                ImportRow::Member { identity, .. } => {
                    wanted.entry(identity).or_default().get_or_insert_with(|| UserId::from_uuid(uuid::Uuid::now_v7()));
                }
                ImportRow::Gone(identity) => {
                    wanted.entry(identity).or_default();
                }
                ImportRow::Unreadable(_) => {}
            }
        }
        let wanted: Vec<_> = wanted.into_iter().map(|(identity, id)| (identity.clone(), id)).collect();
        let tenant = scene.id();
        let held = scene.tx.members().hold(&wanted).await.map_err(refuse_store)?;
        let roll = scene.tx.members().roll(tenant).await.map_err(refuse_store)?;
        let users = held.into_iter().map(|user| (user.identity, user.id)).collect();
        let acting = scene.acting().cloned();
        Ok(Self { scene, deps, roll, users, roles: HashMap::new(), acting, has_left: false })
    }

    /// Forgets whoever is a member of nothing: those who left, and those whose rows were refused.
    async fn end(mut self) -> Result<Scene, Refusal> {
        let users: Vec<UserId> = self.users.into_values().collect();
        self.scene.tx.members().forget(&users).await.map_err(refuse_store)?;
        Ok(self.scene)
    }

    async fn one(&mut self, row: &ImportRow) -> Result<Done, Refusal> {
        if let (Some(acting), true) = (&self.acting, self.has_left) {
            return Err(Refused::NoMember(acting.user.to_string()).into());
        }
        let done = match row {
            ImportRow::Unreadable(wrong) => return Err(Refusal::Request(wrong.clone())),
            ImportRow::Gone(identity) => self.gone(identity).await?,
            ImportRow::Member { identity, email, name, role } => {
                let card = Card { email, name: name.as_deref() };
                match self.find(identity).await? {
                    Some(found) => self.change(found, &card, role).await?,
                    None => self.add(identity, &card, role).await?,
                }
            }
        };
        self.look_again(done.user).await?;
        Ok(done)
    }

    /// A member by identity.
    async fn find(&mut self, identity: &Identity) -> Result<Option<MemberRow>, Refusal> {
        let Some(user) = self.users.get(identity) else { return Ok(None) };
        let tenant = self.scene.id();
        self.scene.tx.members().get(tenant, *user).await.map_err(refuse_store)
    }

    async fn role(&mut self, name: &RoleName) -> Result<Role, Refusal> {
        if let Some(role) = self.roles.get(name) {
            return Ok(role.clone());
        }
        let role = self.scene.resolve(name).await?;
        self.roles.insert(name.clone(), role.clone());
        Ok(role)
    }

    async fn add(&mut self, identity: &Identity, card: &Card<'_>, role: &RoleName) -> Result<Done, Refusal> {
        let wanted = self.role(role).await?;
        let rules = self.scene.rules;
        decide::may_add(self.acting.as_ref(), &wanted, &rules, u64::try_from(self.roll.members).unwrap_or(0))?;
        decide::fits(&rules, self.roll.used())?;
        let tenant = self.scene.id();
        let user = *self.users.get(identity).ok_or_else(|| Refused::NoMember(identity.subject.clone()))?;
        let mut members = self.scene.tx.members();
        if self.deps.options().members.single && members.is_elsewhere(user, tenant).await.map_err(refuse_store)? {
            return Err(Refused::Elsewhere.into());
        }
        members.add(tenant, user, role, card).await.map_err(refuse_store)?.ok_or(Refused::Member)?;
        self.roll.members += 1;
        self.roll.owners += i64::from(wanted.is_owner());
        Ok(Done { outcome: Outcome::Added, user: Some(user), from: None, to: Some(role.clone()) })
    }

    async fn change(&mut self, found: MemberRow, card: &Card<'_>, role: &RoleName) -> Result<Done, Refusal> {
        let wanted = self.role(role).await?;
        let (tenant, user, from) = (self.scene.id(), found.user.id, found.role.name());
        let is_same_role = from == *role;
        if !is_same_role {
            let target = Target { user, role: &found.role, owners: self.roll.owners };
            decide::may_change_role(self.acting.as_ref(), &target, &wanted)?;
        }
        let is_told = found.email == *card.email && (card.name.is_none() || card.name == found.name.as_deref());
        let mut members = self.scene.tx.members();
        if !is_told {
            members.set_card(tenant, user, card).await.map_err(refuse_store)?;
        }
        if is_same_role {
            let outcome = if is_told { Outcome::Unchanged } else { Outcome::Changed };
            return Ok(Done { outcome, ..Done::unchanged(Some(user)) });
        }
        members.set_role(tenant, user, role).await.map_err(refuse_store)?;
        self.roll.owners += i64::from(wanted.is_owner()) - i64::from(found.role.is_owner());
        Ok(Done { outcome: Outcome::Changed, user: Some(user), from: Some(from), to: Some(role.clone()) })
    }

    /// Somebody who is no member already is what the row asks for.
    async fn gone(&mut self, identity: &Identity) -> Result<Done, Refusal> {
        let Some(found) = self.find(identity).await? else { return Ok(Done::unchanged(None)) };
        let (tenant, user) = (self.scene.id(), found.user.id);
        decide::may_remove(self.acting.as_ref(), &Target { user, role: &found.role, owners: self.roll.owners })?;
        self.scene.tx.members().leave(tenant, user).await.map_err(refuse_store)?;
        self.roll.members -= 1;
        self.roll.owners -= i64::from(found.role.is_owner());
        Ok(Done { outcome: Outcome::Removed, user: Some(user), from: Some(found.role.name()), to: None })
    }

    /// A row about the acting member decides what the rows behind it may do.
    async fn look_again(&mut self, touched: Option<UserId>) -> Result<(), Refusal> {
        let Some(acting) = self.acting.as_mut().filter(|acting| touched == Some(acting.user)) else { return Ok(()) };
        match self.scene.tx.members().get(self.scene.tenant.id, acting.user).await.map_err(refuse_store)? {
            Some(row) => acting.role = row.role,
            None => self.has_left = true,
        }
        Ok(())
    }
}
