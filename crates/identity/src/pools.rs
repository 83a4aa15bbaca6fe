//! Pools: finding, making, changing and removing them.
//!
//! The provider chooses ids, so a pool is found again by the name that it was given, see [`tenantry_domain::pool::label`].

use std::fmt;

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_domain::plan::terms::SecondFactor;
use tenantry_domain::pool::{Found, Setup};

use crate::call::{Provider, Repeat};
use crate::error::IdentityError;

/// What a look at all pools reads at most: a hundred pages of a thousand.
const MOST_PAGES: usize = 100;

/// What one page holds; the provider's most.
const PAGE: &str = "1000";

/// The id of a pool at the provider.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolId(String);

/// The text is no id of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not the id of a pool: 1 to 128 letters, digits and hyphens")]
pub struct PoolIdError;

impl PoolId {
    /// Reads an id. It may stand in a path as it is.
    ///
    /// # Errors
    /// It holds something else than letters, digits and hyphens, or is too long.
    pub fn parse(text: &str) -> Result<Self, PoolIdError> {
        let is_id = (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if is_id { Ok(Self(text.to_owned())) } else { Err(PoolIdError) }
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A pool, as the provider describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Its id.
    pub id: PoolId,
    /// Its name there; empty when nobody gave it one.
    pub label: String,
    /// Whether people sign in.
    pub is_enabled: bool,
    /// How they do.
    pub setup: Setup,
}

impl Pool {
    /// The same for a decision, beside the name that it should bear.
    #[must_use]
    pub fn found(&self, label: &str) -> Found {
        Found { is_enabled: self.is_enabled, is_named: self.label == label, setup: self.setup }
    }
}

/// A pool on the wire; what is left out is off.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Wire {
    name: String,
    display_name: String,
    allow_password_signup: bool,
    enable_email_link_signin: bool,
    disable_auth: bool,
    mfa_config: Mfa,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Mfa {
    state: String,
}

impl Wire {
    fn read(self) -> Result<Pool, IdentityError> {
        let id = self.name.rsplit('/').next().and_then(|id| PoolId::parse(id).ok());
        Ok(Pool {
            id: id.ok_or(IdentityError::Form("a pool has no id that could be one"))?,
            label: self.display_name,
            is_enabled: !self.disable_auth,
            setup: Setup {
                password: self.allow_password_signup,
                email_link: self.enable_email_link_signin,
                second_factor: match self.mfa_config.state.as_str() {
                    "ENABLED" => SecondFactor::Optional,
                    "MANDATORY" => SecondFactor::Required,
                    _ => SecondFactor::Off,
                },
            },
        })
    }
}

/// The fields that [`wire`] writes.
const MASK: &str = "displayName,allowPasswordSignup,enableEmailLinkSignin,disableAuth,mfaConfig";

fn wire(label: &str, setup: &Setup, is_enabled: bool) -> Value {
    let state = match setup.second_factor {
        SecondFactor::Off => "DISABLED",
        SecondFactor::Optional => "ENABLED",
        SecondFactor::Required => "MANDATORY",
    };
    // An app that makes codes; text messages can be taken over, and cost.
    let ways = json!([{ "state": "ENABLED", "totpProviderConfig": { "adjacentIntervals": 1 } }]);
    let mfa = match setup.second_factor {
        SecondFactor::Off => json!({ "state": state }),
        SecondFactor::Optional | SecondFactor::Required => json!({ "state": state, "providerConfigs": ways }),
    };
    json!({
        "displayName": label, "allowPasswordSignup": setup.password, "enableEmailLinkSignin": setup.email_link,
        "disableAuth": !is_enabled, "mfaConfig": mfa,
    })
}

impl Provider {
    /// All pools with a name, by id. More than one means that a creation whose answer was lost was repeated.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub async fn pools_named(&self, label: &str) -> Result<Vec<Pool>, IdentityError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Page {
            #[serde(default)]
            tenants: Vec<Wire>,
            #[serde(default)]
            next_page_token: String,
        }
        let (mut found, mut token) = (Vec::new(), String::new());
        for _ in 0..MOST_PAGES {
            let mut query = vec![("pageSize", PAGE)];
            if !token.is_empty() {
                query.push(("pageToken", token.as_str()));
            }
            let ask = (Method::GET, Repeat::Safe);
            let page: Page = self.ask(ask, self.path("v2", "tenants"), &query, None).await?;
            for wire in page.tenants.into_iter().filter(|wire| wire.display_name == label) {
                found.push(wire.read()?);
            }
            if page.next_page_token.is_empty() {
                found.sort_by(|one, other| one.id.cmp(&other.id));
                return Ok(found);
            }
            token = page.next_page_token;
        }
        Err(IdentityError::Form("the list of pools does not end"))
    }

    /// A pool by its id; nothing when the provider has none. The emulator answers for any id, with a pool without a name.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub async fn pool(&self, id: &PoolId) -> Result<Option<Pool>, IdentityError> {
        match self.ask((Method::GET, Repeat::Safe), self.pool_path(id), &[], None).await.and_then(Wire::read) {
            Ok(pool) if pool.id != *id => Err(IdentityError::Form("another pool was answered than was asked for")),
            Ok(pool) => Ok(Some(pool).filter(|pool| !pool.label.is_empty())),
            Err(IdentityError::Absent { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a pool. Look for one of the same name first: this is not repeated, and done twice it makes two.
    ///
    /// # Errors
    /// See [`IdentityError`]. After [`IdentityError::Slow`], [`IdentityError::Away`] and others that are transient, it may
    /// have been made all the same.
    pub async fn make_pool(&self, label: &str, setup: &Setup, is_enabled: bool) -> Result<Pool, IdentityError> {
        let body = wire(label, setup, is_enabled);
        let made: Wire = self.ask((Method::POST, Repeat::Once), self.path("v2", "tenants"), &[], Some(&body)).await?;
        made.read()
    }

    /// Brings a pool to a name, a setup and whether people sign in.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub async fn change_pool(
        &self,
        id: &PoolId,
        label: &str,
        setup: &Setup,
        is_enabled: bool,
    ) -> Result<Pool, IdentityError> {
        let body = wire(label, setup, is_enabled);
        let (ask, query) = ((Method::PATCH, Repeat::Safe), [("updateMask", MASK)]);
        self.ask::<Wire>(ask, self.pool_path(id), &query, Some(&body)).await?.read()
    }

    /// Removes a pool with all its accounts; one that is gone already is gone.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub async fn remove_pool(&self, id: &PoolId) -> Result<(), IdentityError> {
        match self.ask::<Value>((Method::DELETE, Repeat::Safe), self.pool_path(id), &[], None).await {
            Ok(_) | Err(IdentityError::Absent { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn pool_path(&self, id: &PoolId) -> String {
        self.path("v2", &format!("tenants/{id}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_can_stand_in_a_path() {
        for good in ["taaaaaaaaaaaaaaaaaaa-x1y2z", "Bo4FKKj9z4Sh96IV477H24VRf8Hm"] {
            assert!(PoolId::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a/b", "..", "a?b", "a%2fb", "a b", &"a".repeat(129)] {
            assert_eq!(PoolId::parse(bad), Err(PoolIdError), "{bad}");
        }
    }
}
