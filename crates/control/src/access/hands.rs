//! Whose hands a token is in: of two tokens, one can lead to the other, or one person to both.
//!
//! Whoever makes or rotates a token is shown its secret, and can be its user from then on. A rule that asks for two people
//! therefore looks at who was shown what, however many tokens lie between, and at who those people are by name: a second
//! token of the same person is no second person. Somebody who signed in has no token of ours, and is shown those that it
//! makes as anybody else is.
//! INVARIANT: two principals count as two people only when no person was shown secrets of both. A maker that names no
//! person, such as the first token of the installation, is nobody's hands: it is put away where it takes two to get it.

use std::collections::BTreeSet;

use tenantry_domain::Timestamp;
use tenantry_domain::id::TokenId;
use tenantry_domain::policy::ActorKind;
use tenantry_domain::policy::grant::{Hands, folded, is_same};
use tenantry_store::{StoreError, TokenRow, WriteTx};

use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::tenants::edit::refuse_store;

/// The most makers that are followed. More of them count as one pair of hands with everybody: nobody makes so many by accident.
const MOST_MAKERS: usize = 32;

/// The token behind an actor; nothing for actors of ours, and for people who signed in.
async fn token(deps: &Deps, actor: &str) -> Result<Option<TokenRow>, Refusal> {
    let id = actor.split_once(':').filter(|(kind, _)| *kind != "controller").and_then(|(_, id)| id.parse().ok());
    let Some(id) = id else { return Ok(None) };
    deps.store().token(id).await.map_err(refuse_store)
}

/// The person who uses the caller's token.
pub(super) fn person(cx: &Ctx) -> Option<String> {
    cx.person.clone().filter(|_| cx.actor.kind == ActorKind::Operator)
}

/// The caller, beside the one who asked.
pub(crate) struct Second {
    /// The caller's person.
    pub(crate) person: Option<String>,
    is_shown: bool,
    is_unlike: bool,
}

impl Second {
    /// # Errors
    /// Our database does not answer.
    pub(crate) async fn of(cx: &Ctx, deps: &Deps, requested_by: &str) -> Result<Self, Refusal> {
        let actor = cx.actor.to_string();
        let person = person(cx);
        let (own, theirs) = (Trail::of(deps, &actor).await?, Trail::of(deps, requested_by).await?);
        let is_other = requested_by.starts_with("operator:") && signed_in(requested_by) != signed_in(&actor);
        Ok(Self { person, is_shown: own.meets(&theirs), is_unlike: is_other || own.is_unlike(&theirs) })
    }

    /// Whether the caller's person is the one behind another principal, by whatever token.
    ///
    /// # Errors
    /// Our database does not answer.
    pub(crate) async fn is_person_of(&self, deps: &Deps, principal: &str) -> Result<bool, Refusal> {
        let theirs = token(deps, principal).await?.and_then(|row| row.person);
        Ok(theirs.zip(self.person.as_deref()).is_some_and(|(theirs, own)| is_same(&theirs, own)))
    }

    /// For the decision.
    pub(crate) fn hands(&self) -> Hands<'_> {
        Hands { person: self.person.as_deref(), is_shown: self.is_shown, is_unlike: self.is_unlike }
    }
}

/// Whether a principal signed in, and is not known by a token of ours.
fn signed_in(principal: &str) -> bool {
    principal.split_once(':').is_some_and(|(_, id)| id.parse::<TokenId>().is_err())
}

/// Everybody whom a principal's secrets were shown to, itself included.
pub(crate) struct Trail {
    principal: String,
    /// All of them, as principals.
    shown: BTreeSet<String>,
    /// The people among them: the names of their tokens, one spelling each, and the ids of those who signed in.
    people: BTreeSet<String>,
    /// Whether one of them signed in. Whether that is somebody whom a token names, nobody can tell.
    has_signed_in: bool,
    /// There are more than are followed.
    is_cut: bool,
}

impl Trail {
    /// # Errors
    /// Our database does not answer.
    pub(crate) async fn of(deps: &Deps, principal: &str) -> Result<Self, Refusal> {
        let mut trail = Self {
            principal: principal.to_owned(),
            shown: BTreeSet::from([principal.to_owned()]),
            people: BTreeSet::new(),
            has_signed_in: false,
            is_cut: false,
        };
        let mut open = vec![principal.to_owned()];
        while let Some(actor) = open.pop() {
            let Some(row) = token(deps, &actor).await? else {
                if is_person(&actor) {
                    trail.has_signed_in = true;
                    trail.people.insert(actor);
                }
                continue;
            };
            trail.people.extend(row.person.map(|name| folded(&name)));
            for shown in std::iter::once(row.created_by).chain(row.shown_to) {
                if trail.shown.contains(&shown) {
                    continue;
                }
                if trail.shown.len() >= MOST_MAKERS {
                    trail.is_cut = true;
                    return Ok(trail);
                }
                trail.shown.insert(shown.clone());
                open.push(shown);
            }
        }
        Ok(trail)
    }

    /// Whether both are in one pair of hands: one was shown the other's secret, or one person those of both.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        self.is_cut
            || other.is_cut
            || self.shown.contains(&other.principal)
            || other.shown.contains(&self.principal)
            || !self.people.is_disjoint(&other.people)
    }

    /// Whether people of the one signed in and those of the other are names of tokens: they could be one.
    pub(crate) fn is_unlike(&self, other: &Self) -> bool {
        let is_known = !self.people.is_empty() && !other.people.is_empty();
        is_known && self.has_signed_in != other.has_signed_in
    }
}

/// Whether a principal is a person who signed in, by the form of the id that such a one has
/// ([`tenantry_domain::access::Person::actor`]); what is neither that nor a token is a part of ours.
fn is_person(principal: &str) -> bool {
    principal.starts_with("operator:per_")
}

/// Whether two principals could be in one pair of hands, see [`Trail::meets`] and [`Trail::is_unlike`].
///
/// # Errors
/// Our database does not answer.
pub(crate) async fn linked(deps: &Deps, one: &str, other: &str) -> Result<bool, Refusal> {
    let (one, other) = (Trail::of(deps, one).await?, Trail::of(deps, other).await?);
    Ok(one.meets(&other) || one.is_unlike(&other))
}

/// Whether a principal is still somebody who may do something: its token was not taken back, did not end, and has the right.
/// Of somebody who signed in nothing is known between two calls.
///
/// # Errors
/// Our database does not answer.
pub(crate) async fn still_may(deps: &Deps, principal: &str, action: &str, now: Timestamp) -> Result<bool, Refusal> {
    if signed_in(principal) {
        return Ok(true);
    }
    let row = token(deps, principal).await?;
    Ok(row.is_some_and(|row| is_good(&row, now) && row.rights.allows(action)))
}

/// Whether a token is let in at a moment.
fn is_good(row: &TokenRow, now: Timestamp) -> bool {
    row.revoked_at.is_none() && row.expires_at.is_none_or(|end| end > now)
}

/// Whether the token behind a principal is good, held so until the transaction is over. One of the whole installation is taken
/// back by nobody, and somebody who signed in has none.
///
/// # Errors
/// Our database does not answer.
pub(super) async fn hold(tx: &mut WriteTx, principal: &str, now: Timestamp) -> Result<bool, Refusal> {
    let Some(id) = principal.split_once(':').and_then(|(_, id)| id.parse().ok()) else { return Ok(true) };
    match tx.tokens().lock(id).await {
        Ok(row) => Ok(is_good(&row, now)),
        Err(StoreError::NotFound) => Ok(true),
        Err(error) => Err(refuse_store(error)),
    }
}
