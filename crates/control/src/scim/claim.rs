//! The first log-in of somebody whom the directory announced by address alone.
//!
//! INVARIANT: an address that a directory claims makes nobody a member. It takes the issuer's word that the person has the
//! mailbox, and the tenant's proof that the mailbox's domain is its own; then the directory may well say who is in.

use serde_json::json;
use tenantry_domain::access::domain::Standing;
use tenantry_domain::member::Refused;
use tenantry_domain::member::scim::{Person, ScimError};
use tenantry_store::ScimUserPut;

use super::standing::{Entrant, Told, admit};
use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::members::{Answer, Entered, Member, enter, member};
use crate::refusal::Refusal;
use crate::tenants::edit::{TenantRef, refuse_store, replayed};

/// Makes the person who logs in the member that the directory meant. The application vouches for identity and address.
///
/// # Errors
/// The address is not verified, its domain is not the tenant's own, or the directory has nobody with it who waits; or the
/// person may not be a member here.
pub async fn claim(cx: &Ctx, deps: &Deps, tenant: &TenantRef, answer: &Answer) -> Result<Member, Refusal> {
    let mut scene = match enter(cx, deps, tenant, "directory.claim", None).await? {
        Entered::Replay(answer) => return replayed(answer),
        Entered::Fresh(scene) => *scene,
    };
    if !answer.is_verified {
        return Err(Refused::Unverified.into());
    }
    let id = scene.id();
    let address = answer.email.exact();
    let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
    let proof = scene.tx.domains().lock(id, domain).await.map_err(refuse_store)?;
    if proof.is_none_or(|row| row.proof.standing != Standing::Verified) {
        return Err(ScimError::Unclaimed.into());
    }
    let mut waiting = scene.tx.scim().claimable(id, &answer.email).await.map_err(refuse_store)?;
    // Two with the same address cannot be told apart, so neither is given away.
    let (Some(row), true) = (waiting.pop(), waiting.is_empty()) else { return Err(ScimError::Unclaimed.into()) };
    let person = Person::of(&row.doc);
    let mut told = Told::new();
    let entrant = Entrant {
        id: row.id,
        identity: &answer.identity,
        email: &answer.email,
        name: answer.name.as_deref().or(person.name.as_deref()),
        before: None,
        is_counted: true,
    };
    let user = admit(&mut scene, deps, &entrant, &mut told).await?;
    let put = ScimUserPut { doc: &row.doc, person: &person, identity: Some(&answer.identity), user: Some(user) };
    scene.tx.scim().put_user(id, row.id, &put);
    let joined = member(scene.member(user).await?);
    let changes = json!({ "user": user, "role": joined.role, "directoryUser": row.id });
    scene.finish(cx, deps, format!("member/{user}"), changes, told, &joined).await?;
    Ok(joined)
}
