//! Whose hands a token is in: of two tokens, one can lead to the other.
//!
//! Whoever makes or rotates a token is shown its secret, and can be its user from then on. A rule that asks for two people
//! therefore looks at who was shown what, however many tokens lie between. Somebody who signed in has no token of ours, and
//! is shown those that it makes as anybody else is.

use tenantry_domain::id::TokenId;
use tenantry_domain::policy::ActorKind;
use tenantry_domain::policy::grant::{Hands, is_same};
use tenantry_store::TokenRow;

use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::tenants::edit::refuse_store;

/// The longest chain of makers that is followed. A longer one counts as one pair of hands: nobody makes it by accident.
const LONGEST_CHAIN: usize = 32;

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
        let is_shown = linked(deps, requested_by, &actor).await?;
        let is_unlike = signed_in(requested_by) != signed_in(&actor);
        Ok(Self { person, is_shown, is_unlike })
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

/// Whether one of two principals was shown a secret that leads to the other.
///
/// # Errors
/// Our database does not answer.
pub(crate) async fn linked(deps: &Deps, one: &str, other: &str) -> Result<bool, Refusal> {
    Ok(one == other || leads(deps, one, other).await? || leads(deps, other, one).await?)
}

/// Whether `from` was shown the secret of `to`, or of a token that was shown it.
async fn leads(deps: &Deps, from: &str, to: &str) -> Result<bool, Refusal> {
    let mut open = vec![to.to_owned()];
    let mut seen = open.clone();
    while let Some(actor) = open.pop() {
        let Some(row) = token(deps, &actor).await? else { continue };
        for shown in std::iter::once(row.created_by).chain(row.shown_to) {
            if shown == from || seen.len() >= LONGEST_CHAIN {
                return Ok(true);
            }
            if !seen.contains(&shown) {
                seen.push(shown.clone());
                open.push(shown);
            }
        }
    }
    Ok(false)
}
