//! Secrets of endpoints.
//!
//! Like that of an invitation, a secret is made of a random nonce and a key of the installation: the database has the nonce, and
//! whoever reads it can sign nothing. Another environment, endpoint, kind or nonce gives another secret.

use aws_lc_rs::{hmac, rand};
use tenantry_domain::Timestamp;
use tenantry_domain::id::WebhookId;
use tenantry_domain::name::EnvironmentName;
use tenantry_domain::webhook::Scheme;
use tenantry_store::{EndpointRow, WebhookKeys};
use tenantry_webhooks::{Key, KeyError, Signer};
use zeroize::Zeroizing;

use crate::refusal::Refusal;

/// A fresh nonce.
pub(super) fn nonce() -> Result<[u8; 32], Refusal> {
    let mut nonce = [0; 32];
    rand::fill(&mut nonce).map_err(|_| Refusal::NoRandomness)?;
    Ok(nonce)
}

/// The key that a nonce stands for.
pub(super) fn derive(
    root: &[u8; 32],
    environment: &EnvironmentName,
    id: WebhookId,
    scheme: Scheme,
    nonce: &[u8; 32],
) -> Result<Key, KeyError> {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, root));
    for part in [b"webhook", environment.as_str().as_bytes(), scheme.as_str().as_bytes()] {
        context.update(part);
        context.update(b"\0");
    }
    context.update(id.uuid().as_bytes());
    context.update(nonce);
    let mut secret = Zeroizing::new([0; 32]);
    secret.copy_from_slice(context.sign().as_ref());
    match scheme {
        Scheme::Hmac => Key::hmac(secret.as_slice()),
        Scheme::Ed25519 => Key::ed25519(&secret),
    }
}

/// The newest key of an endpoint.
pub(super) fn newest(root: &[u8; 32], row: &EndpointRow) -> Result<Key, KeyError> {
    derive(root, &row.environment, row.id, row.keys.scheme, &row.keys.nonce)
}

/// All keys of an endpoint that are live at a moment, the newest first.
pub(super) fn signer(root: &[u8; 32], row: &EndpointRow, now: Timestamp) -> Result<Signer, KeyError> {
    let WebhookKeys { scheme, old, .. } = &row.keys;
    let mut keys = vec![newest(root, row)?];
    if let Some((nonce, until)) = old
        && *until > now
    {
        keys.push(derive(root, &row.environment, row.id, *scheme, nonce)?);
    }
    Ok(Signer::new(keys))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects by stopping")]

    use std::collections::BTreeSet;

    use secrecy::ExposeSecret as _;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn every_circumstance_makes_another_secret() {
        let (prod, staging) = (EnvironmentName::parse("prod").unwrap(), EnvironmentName::parse("staging").unwrap());
        let id = |number| WebhookId::from_uuid(Uuid::from_u128(number));
        let mut texts = BTreeSet::new();
        for (root, environment, endpoint, scheme, nonce) in [
            ([1; 32], &prod, 1, Scheme::Hmac, [1; 32]),
            ([2; 32], &prod, 1, Scheme::Hmac, [1; 32]),
            ([1; 32], &staging, 1, Scheme::Hmac, [1; 32]),
            ([1; 32], &prod, 2, Scheme::Hmac, [1; 32]),
            ([1; 32], &prod, 1, Scheme::Ed25519, [1; 32]),
            ([1; 32], &prod, 1, Scheme::Hmac, [2; 32]),
        ] {
            let key = derive(&root, environment, id(endpoint), scheme, &nonce).unwrap();
            let text = key.text().expose_secret().to_owned();
            assert!(texts.insert(text.split_once('_').unwrap().1.to_owned()));
            let again = derive(&root, environment, id(endpoint), scheme, &nonce).unwrap();
            assert_eq!(again.text().expose_secret(), text);
        }
        assert_eq!(texts.len(), 6);
    }
}
