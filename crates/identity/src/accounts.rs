//! Accounts of a pool: finding, making, disabling and removing them, and the link by which somebody sets a password.

use std::fmt;

use reqwest::{Method, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_domain::member::Email;

use crate::call::{Provider, Repeat};
use crate::error::IdentityError;
use crate::pools::PoolId;

/// Accounts of one page.
const PAGE: &str = "500";

/// How often an account is made for an address that somebody signs up with meanwhile.
const TRIES: usize = 3;

/// What the provider calls an account, unique in its pool.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(String);

impl Uid {
    /// Reads one: 1 to 128 visible characters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_uid = (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_uid.then(|| Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An account, as the provider describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Which.
    pub uid: Uid,
    /// The address, where there is one.
    pub email: Option<String>,
    /// Whether its owner has shown that it is theirs.
    pub is_verified: bool,
    /// Whether they are kept out.
    pub is_disabled: bool,
}

/// Some accounts of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountPage {
    /// At most 500.
    pub accounts: Vec<Account>,
    /// For the page after this one; absent at the end.
    pub next: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    local_id: String,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    email_verified: bool,
    #[serde(default)]
    disabled: bool,
}

impl Wire {
    fn read(self) -> Result<Account, IdentityError> {
        Ok(Account {
            uid: Uid::parse(&self.local_id).ok_or(IdentityError::Form("an account has no id that could be one"))?,
            email: self.email,
            is_verified: self.email_verified,
            is_disabled: self.disabled,
        })
    }
}

impl Provider {
    fn accounts_path(&self, pool: &PoolId, what: &str) -> String {
        self.path("v1", &format!("tenants/{pool}/accounts{what}"))
    }

    /// The account with an address; nothing when the pool has none.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub async fn account(&self, pool: &PoolId, email: &Email) -> Result<Option<Account>, IdentityError> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            users: Vec<Wire>,
        }
        let (url, body) = (self.accounts_path(pool, ":lookup"), json!({ "email": [email.as_str()] }));
        match self.ask::<Answer>((Method::POST, Repeat::Safe), url, &[], Some(&body)).await {
            Ok(answer) => answer.users.into_iter().next().map(Wire::read).transpose(),
            Err(IdentityError::Absent { word }) if word == "USER_NOT_FOUND" => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes an account without a password. Nobody can sign in to it before they have set a password by
    /// [`Self::reset_link`]. The one that is there stays, when its owner has shown that the address is theirs, or it is
    /// `known`. Any other one is removed: anybody may have signed up with the address, and would share the account with its
    /// owner from then on.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub async fn make_account(
        &self,
        pool: &PoolId,
        email: &Email,
        known: Option<&Uid>,
    ) -> Result<Account, IdentityError> {
        for _ in 0..TRIES {
            if let Some(account) = self.account(pool, email).await? {
                if account.is_verified || Some(&account.uid) == known {
                    return Ok(account);
                }
                self.remove_account(pool, &account.uid).await?;
            }
            let (url, body) = (self.accounts_path(pool, ""), json!({ "email": email.as_str() }));
            // A pool has an address once. What a repetition meets may be its own or somebody else's: it is looked at again.
            match self.ask::<Value>((Method::POST, Repeat::Safe), url, &[], Some(&body)).await {
                Ok(_) => {
                    let made = self.account(pool, email).await?;
                    return made.ok_or(IdentityError::Form("an account that was made is not there"));
                }
                Err(IdentityError::Refused { word, .. }) if word == "EMAIL_EXISTS" => {}
                Err(error) => return Err(error),
            }
        }
        Err(IdentityError::Form("an address is signed up again as often as its account is removed"))
    }

    /// Keeps somebody out, or lets them in again.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub async fn set_account_disabled(&self, pool: &PoolId, uid: &Uid, is_disabled: bool) -> Result<(), IdentityError> {
        let body = json!({ "localId": uid.as_str(), "disableUser": is_disabled });
        let url = self.accounts_path(pool, ":update");
        self.ask::<Value>((Method::POST, Repeat::Safe), url, &[], Some(&body)).await.map(drop)
    }

    /// Removes an account; one that is gone already is gone.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub async fn remove_account(&self, pool: &PoolId, uid: &Uid) -> Result<(), IdentityError> {
        let (url, body) = (self.accounts_path(pool, ":delete"), json!({ "localId": uid.as_str() }));
        match self.ask::<Value>((Method::POST, Repeat::Safe), url, &[], Some(&body)).await {
            Ok(_) => Ok(()),
            Err(IdentityError::Absent { word }) if word == "USER_NOT_FOUND" => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// A link by which the owner of an address sets a password, and shows with it that the address is theirs. Whoever has
    /// it can do so; it works once.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub async fn reset_link(&self, pool: &PoolId, email: &Email) -> Result<SecretString, IdentityError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            oob_link: SecretString,
        }
        let body = json!({ "requestType": "PASSWORD_RESET", "email": email.as_str(), "returnOobLink": true });
        let url = self.accounts_path(pool, ":sendOobCode");
        let answer: Answer = self.ask((Method::POST, Repeat::Safe), url, &[], Some(&body)).await?;
        // It ends up in a mail, so it must be nothing but a link.
        let is_link = |url: Url| url.scheme() == "https" || (url.scheme() == "http" && self.is_emulator());
        let text = answer.oob_link.expose_secret();
        let is_plain = text.len() <= 4096 && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_plain && Url::parse(text).is_ok_and(is_link) {
            Ok(answer.oob_link)
        } else {
            Err(IdentityError::Form("what should be a link is none"))
        }
    }

    /// Accounts of a pool, page by page.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub async fn accounts(&self, pool: &PoolId, token: Option<&str>) -> Result<AccountPage, IdentityError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Page {
            #[serde(default)]
            users: Vec<Wire>,
            #[serde(default)]
            next_page_token: String,
        }
        let mut query = vec![("maxResults", PAGE)];
        query.extend(token.map(|token| ("nextPageToken", token)));
        let url = self.accounts_path(pool, ":batchGet");
        let page: Page = self.ask((Method::GET, Repeat::Safe), url, &query, None).await?;
        let accounts: Vec<Account> = page.users.into_iter().map(Wire::read).collect::<Result<_, _>>()?;
        // The provider gives a token also behind the last account.
        let next = Some(page.next_page_token).filter(|token| !token.is_empty() && !accounts.is_empty());
        Ok(AccountPage { accounts, next })
    }
}
