//! Bearer tokens: `ten_live_<id>_<secret>_<crc>`.
//!
//! The id is public and finds the row; the secret is 256 bits from the operating system, of which only a keyed
//! digest is stored; the checksum (CRC-32, eight hexadecimal digits, over everything before it) lets secret
//! scanners and typing errors be told from guesses without asking the database.
//!
//! INVARIANT: nobody makes a token that may do more than its maker ([`tenantry_domain::policy::Rights::covers`]).

mod bearer;
mod check;
mod manage;

pub use bearer::Bearer;
pub use manage::{Issued, RotateRequest, Token, TokenQuery, Wanted, create, get, list, revoke, rotate};

use std::time::Duration;

use aws_lc_rs::{constant_time, hmac, rand};
use secrecy::{ExposeSecret, SecretString};
use tenantry_domain::audit::Category;
use tenantry_domain::id::TokenId;
use tenantry_domain::name::EnvironmentName;
use tenantry_domain::policy::{Actor, ActorKind, Rights};
use tenantry_store::{Entry, NewToken};

use crate::ctx::Ctx;
use crate::deps::{Deps, mint};
use crate::governance::{self, About};
use crate::refusal::Refusal;
use crate::tenants::edit::refuse_store;

const PREFIX: &str = "ten_live_";
const SECRET_HEX: usize = 64;

/// How long a call waits for the note that its token was used: a commit takes far less, and a caller would notice more.
const NOTE: Duration = Duration::from_millis(500);

fn crc32(bytes: &[u8]) -> u32 {
    // Reflected CRC-32 (IEEE 802.3), bit by bit: tokens are short.
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

fn digest(deps: &Deps, secret: &str) -> [u8; 32] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, deps.token_key());
    let tag = hmac::sign(&key, secret.as_bytes());
    let mut digest = [0; 32];
    digest.copy_from_slice(tag.as_ref());
    digest
}

/// The parts of a well-formed token.
fn parse(text: &str) -> Option<(TokenId, &str)> {
    let (body, crc) = text.rsplit_once('_')?;
    if crc.len() != 8 || u32::from_str_radix(crc, 16).ok()? != crc32(body.as_bytes()) {
        return None;
    }
    let (id, secret) = body.strip_prefix(PREFIX)?.split_once('_')?;
    if secret.len() != SECRET_HEX || !secret.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let id = format!("{}_{id}", TokenId::PREFIX).parse().ok()?;
    Some((id, secret))
}

/// Makes a token's text from its parts.
fn compose(id: TokenId, secret: &str) -> SecretString {
    let id = id.to_string();
    let suffix = id.split_once('_').map_or("", |(_, suffix)| suffix);
    let body = format!("{PREFIX}{suffix}_{secret}");
    SecretString::from(format!("{body}_{:08x}", crc32(body.as_bytes())))
}

/// A fresh secret: its text and what is stored of it.
fn secret(deps: &Deps) -> Result<(String, [u8; 32]), Refusal> {
    let mut bytes = [0_u8; SECRET_HEX / 2];
    rand::fill(&mut bytes).map_err(|_| Refusal::NoRandomness)?;
    let secret = crate::tenants::edit::hex(&bytes);
    let hash = digest(deps, &secret);
    Ok((secret, hash))
}

/// Issues a token that may do everything in an environment, or in all. Its text is shown once and stored nowhere.
///
/// # Errors
/// Our database does not answer.
pub async fn issue(
    cx: &Ctx,
    deps: &Deps,
    name: &str,
    environment: Option<EnvironmentName>,
) -> Result<SecretString, Refusal> {
    let permit = cx.permit_environment("token.issue")?;
    let (secret, hash) = secret(deps)?;
    let id = mint::token();
    let mut tx = deps.store().write(&permit, cx.now).await.map_err(refuse_store)?;
    governance::rule(cx, deps, &permit, &mut tx, About::default()).await?;
    tx.tokens().create(&NewToken { environment, ..almighty(cx, id, name, hash) });
    let mut audit = cx.audit(&permit, Category::Access, format!("token/{id}"));
    audit.reason = Some(name.to_owned());
    tx.commit(vec![Entry::environment(audit, Vec::new())]).await.map_err(refuse_store)?;
    Ok(compose(id, &secret))
}

/// A token of the installation's owner: everything, everywhere, for ever.
fn almighty(cx: &Ctx, id: TokenId, name: &str, hash: [u8; 32]) -> NewToken {
    NewToken {
        id,
        environment: None,
        name: name.to_owned(),
        actor_kind: ActorKind::Operator,
        rights: Rights::all(),
        person: None,
        hash,
        expires_at: None,
        created_by: cx.actor.to_string(),
    }
}

/// Makes sure that a token whose text the operator chose beforehand (from a secret store) is known.
///
/// # Errors
/// The text is not of the form of a token, or our database does not answer.
pub async fn adopt(cx: &Ctx, deps: &Deps, text: &SecretString, name: &str) -> Result<(), Refusal> {
    let (id, secret) = parse(text.expose_secret()).ok_or(Refusal::TokenForm)?;
    if let Some(known) = deps.store().token(id).await.map_err(refuse_store)? {
        // It may have been rotated, which is no reason not to start; but whoever counts on the file has to know.
        if constant_time::verify_slices_are_equal(&digest(deps, secret), &known.hash).is_err() {
            tracing::warn!(token = %id, "the token is known with another secret; the text given is not taken");
        }
        return Ok(());
    }
    let permit = cx.permit_environment("token.adopt")?;
    let mut tx = deps.store().write(&permit, cx.now).await.map_err(refuse_store)?;
    governance::rule(cx, deps, &permit, &mut tx, About::default()).await?;
    tx.tokens().create(&almighty(cx, id, name, digest(deps, secret)));
    let mut audit = cx.audit(&permit, Category::Access, format!("token/{id}"));
    audit.reason = Some(name.to_owned());
    tx.commit(vec![Entry::environment(audit, Vec::new())]).await.map_err(refuse_store).map(|_| ())
}

/// Mints a token's text without a database, for [`adopt`].
///
/// # Errors
/// The operating system gives no randomness.
pub fn mint_text() -> Result<SecretString, Refusal> {
    let mut bytes = [0_u8; SECRET_HEX / 2];
    rand::fill(&mut bytes).map_err(|_| Refusal::NoRandomness)?;
    Ok(compose(mint::token(), &crate::tenants::edit::hex(&bytes)))
}

/// Who bears a token; nothing when it is not good. Does the same work for unknown ids and wrong secrets.
///
/// # Errors
/// Our database does not answer; nobody is let in then.
pub async fn authenticate(deps: &Deps, text: &str) -> Result<Option<Bearer>, Refusal> {
    let Some((id, secret)) = parse(text) else { return Ok(None) };
    let presented = digest(deps, secret);
    let row = deps.store().token(id).await.map_err(refuse_store)?;
    let now = deps.now();
    let is_same = |stored: &[u8; 32]| constant_time::verify_slices_are_equal(&presented, stored).is_ok();
    let old = row.as_ref().and_then(|row| row.old).filter(|(_, until)| *until > now).map(|(hash, _)| hash);
    // Both are compared always, so that nothing is told by the time that it takes.
    let is_current = is_same(&row.as_ref().map_or([0; 32], |row| row.hash));
    let is_old = is_same(&old.unwrap_or([0; 32])) && old.is_some();
    let Some(row) = row.filter(|_| is_current || is_old) else { return Ok(None) };
    if row.revoked_at.is_some() || row.expires_at.is_some_and(|end| end <= now) {
        return Ok(None);
    }
    if row.last_used_at.is_none_or(|seen| now.duration_since(seen) > jiff::SignedDuration::from_mins(1)) {
        // A note for people who tidy up. It decides about nothing: a database that only reads lets in as well.
        let noted = tokio::time::timeout(NOTE, deps.store().token_seen(id, now)).await;
        if !matches!(noted, Ok(Ok(()))) {
            tracing::debug!(token = %id, "when the token was used is not noted");
        }
    }
    // Whoever makes tokens makes none for somebody who signs in: that name is the issuer's to give.
    let person = row.person.filter(|name| row.actor_kind == ActorKind::Operator && !deps.people().is_person(name));
    Ok(Some(Bearer {
        actor: Actor { kind: row.actor_kind, id: id.to_string() },
        rights: row.rights,
        environment: row.environment,
        person,
        display: Some(row.name),
        expires: row.expires_at,
        reach: None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_round_trip_and_damage_is_seen() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        let text = mint_text().unwrap();
        let text = text.expose_secret();
        assert!(parse(text).is_some());
        for place in [0, 12, 50, text.len() - 1] {
            let mut damaged: Vec<u8> = text.bytes().collect();
            damaged[place] = if damaged[place] == b'0' { b'1' } else { b'0' };
            assert!(parse(std::str::from_utf8(&damaged).unwrap()).is_none(), "{place}");
        }
        for bad in ["", "ten_live_", "_", "ten_live_x_y_00000000", "Bearer"] {
            assert!(parse(bad).is_none());
        }
    }
}
