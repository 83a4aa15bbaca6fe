//! People of the operator, as an identity provider names them.
//!
//! INVARIANT: nobody is kept here. Who somebody is and what its groups give is read from each token anew, so whoever loses a
//! group there has lost the role here when the token ends, after an hour as a rule.

use aws_lc_rs::digest::{SHA256, digest};
use tenantry_domain::access::Person;
use tenantry_domain::policy::{Actor, ActorKind, Rights};

use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::routes::token::TokenError;
use crate::tokens::Bearer;

/// Whether a credential has the form of an access token of an issuer (a JSON Web Token), and not that of one of ours.
#[must_use]
pub fn is_token(text: &str) -> bool {
    text.splitn(4, '.').count() == 3 && !text.starts_with("ten_")
}

/// Who bears an access token; nothing when it is not believed.
///
/// # Errors
/// The keys of its issuer cannot be had; nobody is let in then.
pub async fn authenticate(deps: &Deps, text: &str) -> Result<Option<Bearer>, Refusal> {
    match deps.people().verify(text, deps.now()).await {
        Ok(person) => Ok(Some(bearer(person))),
        Err(TokenError::Refused(fault)) => {
            tracing::debug!(%fault, "an access token is not believed");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn bearer(person: Person) -> Bearer {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, person.name.as_bytes()).as_ref());
    Bearer {
        actor: Actor { kind: ActorKind::Operator, id: Person::actor(&hash) },
        rights: Rights::of(person.reach.anywhere()),
        environment: None,
        person: Some(person.name),
        display: person.display,
        expires: Some(person.expires),
        reach: Some(person.reach),
    }
}

/// Where people sign in: an issuer, and the client of the command line there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Door {
    /// The issuer's name, below which its metadata is found.
    pub issuer: String,
    /// The client's id.
    pub client: String,
    /// What is asked for.
    pub scopes: Vec<String>,
    /// For whom the access token is to be; absent where the issuer knows.
    pub resource: Option<String>,
}

/// Where people sign in. Nothing of it is a secret.
#[must_use]
pub fn doors(deps: &Deps) -> Vec<Door> {
    let door = |issuer: &tenantry_domain::access::Operators| {
        let client = issuer.client()?;
        Some(Door {
            issuer: issuer.trust().name().to_owned(),
            client: client.id.clone(),
            scopes: client.scopes.clone(),
            resource: client.resource.clone(),
        })
    };
    deps.people().issuers().filter_map(door).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_tokens_are_none_of_an_issuer() {
        let ours = crate::tokens::mint_text().unwrap();
        assert!(!is_token(secrecy::ExposeSecret::expose_secret(&ours)));
        for (text, expected) in
            [("a.b.c", true), ("a.b", false), ("a.b.c.d", false), ("", false), ("ten_live_a.b.c", false), ("..", true)]
        {
            assert_eq!(is_token(text), expected, "{text}");
        }
    }
}
