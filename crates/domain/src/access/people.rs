//! People of the operator, as an identity provider names them: who somebody is, and which roles its groups give.
//!
//! INVARIANT: a person is an issuer and a subject. An address or a name is for showing and never decides; a group that the
//! file does not name gives nothing, and there is no role that everybody has.

mod grants;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::token::{
    self, Algorithm, ClaimPath, Head, IssuerSpec, KeysSpec, Names, Payload, TokenFault, TokenType, only_access,
    usual_leeway,
};
use super::{Issuer, IssuerError};
use crate::Timestamp;
use crate::id::encode;
use crate::name::EnvironmentName;
use crate::policy::Role;

pub use grants::Reach;

/// An issuer of people, as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct OperatorSpec {
    /// The value of `iss`, compared letter by letter.
    pub issuer: String,
    /// Values of `aud`, of which a token must have one.
    pub audiences: Vec<String>,
    /// Where its keys are.
    pub keys: KeysSpec,
    /// The algorithms that it may sign with.
    pub algorithms: Vec<Algorithm>,
    /// The types of tokens; by default `at+jwt` (RFC 9068) alone.
    #[serde(default = "only_access")]
    pub types: BTreeSet<TokenType>,
    /// By how many seconds its clock may differ from ours; 0 to 60.
    #[serde(default = "usual_leeway")]
    pub leeway_seconds: u32,
    /// For how many seconds a token may hold; 60 to 86 400. An hour and five minutes unless given.
    #[serde(default = "usual_lifetime")]
    pub max_lifetime_seconds: u32,
    /// The claim that tells one person from another; `sub` unless given.
    #[serde(default = "subject")]
    pub person: String,
    /// The claim that is shown beside it; `email` unless given.
    #[serde(default = "address")]
    pub display: String,
    /// The claim with the groups: a list of texts, or one text.
    pub groups: String,
    /// What each group gives.
    pub roles: BTreeMap<String, RoleSpec>,
    /// With which client the command line signs in; absent where it does not. Tokens of other clients name nobody then.
    #[serde(default)]
    pub client: Option<ClientSpec>,
}

const fn usual_lifetime() -> u32 {
    3900
}

fn subject() -> String {
    "sub".to_owned()
}

fn address() -> String {
    "email".to_owned()
}

/// What a group gives, as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RoleSpec {
    /// The roles.
    pub roles: BTreeSet<Role>,
    /// The environments that they hold in; absent for all.
    #[serde(default)]
    pub environments: Option<BTreeSet<EnvironmentName>>,
}

/// The client of the command line: a public one (RFC 8252, section 8.4), which has no secret.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ClientSpec {
    /// Its id at the issuer.
    pub id: String,
    /// What is asked for; `openid` and `offline_access` unless given.
    #[serde(default = "usual_scopes")]
    pub scopes: Vec<String>,
    /// For whom the access token is to be (RFC 8707); absent where the issuer knows that by the client.
    #[serde(default)]
    pub resource: Option<String>,
}

fn usual_scopes() -> Vec<String> {
    vec!["openid".to_owned(), "offline_access".to_owned()]
}

/// An issuer of people that may be believed. No door of tenants sees it, and none of people sees an [`Issuer`] of theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operators {
    /// What makes a token one of this issuer; its claim is that of the person, its environment has no meaning.
    trust: Issuer,
    display: ClaimPath,
    groups: ClaimPath,
    roles: BTreeMap<String, RoleSpec>,
    client: Option<ClientSpec>,
}

/// Somebody of the operator, by a token that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// `issuer#subject`. In the subject everything but `a` to `z`, digits and some signs is written as `%` and two digits,
    /// so that no two people have names that differ by the case of their letters alone.
    pub name: String,
    /// What the issuer calls it; for showing.
    pub display: Option<String>,
    /// What its groups give.
    pub reach: Reach,
    /// From when on the token does not hold any more.
    pub expires: Timestamp,
}

impl Person {
    /// The id of a person as an actor, of the SHA-256 of [`Self::name`]: `per_` and 26 characters. Short, the same every
    /// time, and without a word of the issuer's in it.
    #[must_use]
    pub fn actor(digest: &[u8; 32]) -> String {
        let mut bits = [0; 16];
        bits.copy_from_slice(&digest[..16]);
        encode("per", Uuid::from_bytes(bits))
    }
}

/// The longest subject in bytes (OpenID Connect Core 1.0, section 2).
const LONGEST_SUBJECT: usize = 255;

/// The longest display name in letters.
const LONGEST_DISPLAY: usize = 100;

/// The most issuers of people.
const MOST: usize = 100;

/// A field, and what is wrong with it.
type Fault = (&'static str, &'static str);

impl Operators {
    /// Checks all issuers of people of a file, beside those of tenants' users.
    ///
    /// # Errors
    /// The first fault. Nobody is an issuer of both, and none is there twice: which of the two holds would be a guess.
    pub fn check(specs: Vec<OperatorSpec>, tenants: &[Issuer]) -> Result<Vec<Self>, IssuerError> {
        let (mut known, count) = (BTreeSet::new(), specs.len());
        if count > MOST {
            return Err(IssuerError { place: count, field: "operators", fault: "are more than 100" });
        }
        let one = |(index, spec): (usize, OperatorSpec)| {
            let fault = |(field, fault)| IssuerError { place: index + 1, field, fault };
            // Letter by letter would let a second spelling through.
            if !known.insert(spec.issuer.to_lowercase()) {
                return Err(fault(("operators.issuer", "is named twice")));
            }
            if tenants.iter().any(|tenants| tenants.name().eq_ignore_ascii_case(&spec.issuer)) {
                return Err(fault(("operators.issuer", "is one of tenants' users as well, and nobody is both")));
            }
            Self::of(spec).map_err(fault)
        };
        specs.into_iter().enumerate().map(one).collect()
    }

    fn of(spec: OperatorSpec) -> Result<Self, Fault> {
        const PATH: &str = "must be 1 to 8 names with dots between, or a JSON Pointer that begins with a slash";
        let display = ClaimPath::parse(&spec.display).ok_or(("display", PATH))?;
        let groups = ClaimPath::parse(&spec.groups).ok_or(("groups", PATH))?;
        ClaimPath::parse(&spec.person).ok_or(("person", PATH))?;
        check_roles(&spec.roles)?;
        if let Some(client) = &spec.client {
            check_client(client, &spec)?;
        }
        // The sign between the issuer and the subject.
        if spec.issuer.contains('#') {
            return Err(("issuer", "must have no `#` in it"));
        }
        if spec.keys == KeysSpec::Emulator {
            return Err(("keys", "must be a file or an address: nobody is let in by a token that is not signed"));
        }
        let trust = IssuerSpec {
            issuer: spec.issuer,
            environment: EnvironmentName::parse("operators").map_err(|_| ("issuer", "cannot be kept"))?,
            audiences: spec.audiences,
            keys: spec.keys,
            algorithms: spec.algorithms,
            claim: spec.person,
            names: Names::default(),
            members_only: false,
            types: spec.types,
            leeway_seconds: spec.leeway_seconds,
            max_lifetime_seconds: spec.max_lifetime_seconds,
        };
        let claim = token::check(&trust)?;
        Ok(Self { trust: Issuer { spec: trust, claim }, display, groups, roles: spec.roles, client: spec.client })
    }

    /// What makes a token one of this issuer: its name, its keys, its algorithms.
    #[must_use]
    pub const fn trust(&self) -> &Issuer {
        &self.trust
    }

    /// With which client the command line signs in.
    #[must_use]
    pub const fn client(&self) -> Option<&ClientSpec> {
        self.client.as_ref()
    }

    /// Whether a text reads like the name of one of its people.
    #[must_use]
    pub fn is_person(&self, text: &str) -> bool {
        let head = text.trim().split('#').next().unwrap_or_default();
        text.contains('#') && head.eq_ignore_ascii_case(self.trust.name())
    }

    /// The person that a token names; for a token whose signature was verified with a key of this issuer.
    ///
    /// # Errors
    /// See [`TokenFault`].
    pub fn judge(&self, head: &Head, payload: &Payload, now: Timestamp) -> Result<Person, TokenFault> {
        let claims = &payload.0;
        let subject = self.trust.judge(head, payload, now).map_err(|fault| match fault {
            TokenFault::Tenantless => TokenFault::Nobody,
            fault => fault,
        })?;
        // Issuers that do not mark access tokens mark the others: by what only an ID token has (OpenID Connect Core 1.0,
        // sections 2 and 3.1.3.6), or by a claim `typ`.
        let is_other = ["nonce", "at_hash", "c_hash"].iter().any(|name| claims.contains_key(*name))
            || claims.get("typ").is_some_and(|kind| kind != "Bearer");
        if head.kind != Some(TokenType::Access) && is_other {
            return Err(TokenFault::Untrusted);
        }
        if subject.len() > LONGEST_SUBJECT || subject.chars().any(char::is_control) {
            return Err(TokenFault::Nobody);
        }
        if is_machine(claims, subject) || self.is_foreign(claims) {
            return Err(TokenFault::Nobody);
        }
        let display = self
            .display
            .find(claims)
            .map(|text| text.chars().filter(|letter| !letter.is_control()).take(LONGEST_DISPLAY).collect::<String>());
        Ok(Person {
            name: format!("{}#{}", self.trust.name(), spelled(subject)),
            display: display.filter(|text| !text.is_empty()),
            reach: Reach::of(self.groups(claims)?.into_iter().filter_map(|group| self.roles.get(group))),
            expires: payload.expires().ok_or(TokenFault::Expired)?,
        })
    }

    /// Whether a token was given to another client than the one that people sign in with, where there is one. It may be a
    /// machine's: some issuers keep a user for each, whose subject looks like that of a person.
    fn is_foreign(&self, claims: &Map<String, Value>) -> bool {
        let own = self.client.as_ref().map(|client| client.id.as_str());
        own.is_some() && clients(claims).next().is_some_and(|client| Some(client) != own)
    }

    /// A list of texts, or one text, which is one group whatever stands in it. None where the claim is missing.
    fn groups<'c>(&self, claims: &'c Map<String, Value>) -> Result<Vec<&'c str>, TokenFault> {
        match self.groups.value(claims) {
            None => Ok(Vec::new()),
            Some(Value::String(one)) => Ok(vec![one]),
            Some(Value::Array(list)) => list.iter().map(Value::as_str).collect::<Option<_>>().ok_or(TokenFault::Nobody),
            Some(_) => Err(TokenFault::Nobody),
        }
    }
}

/// What a token says of the client that it was given to, by the names that issuers have for it.
fn clients(claims: &Map<String, Value>) -> impl Iterator<Item = &str> {
    ["client_id", "azp", "cid", "appid"].into_iter().filter_map(|name| claims.get(name).and_then(Value::as_str))
}

/// Whether a client acts for itself. It is its own subject then (RFC 9068, section 2.2), or the issuer marks it in a way of
/// its own.
fn is_machine(claims: &Map<String, Value>, person: &str) -> bool {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let sub = text("sub");
    clients(claims).any(|client| client == person || Some(client) == sub)
        || sub.is_some_and(|sub| sub.ends_with("@clients"))
        || text("gty") == Some("client-credentials")
        || text("idtyp") == Some("app")
}

/// A text of some letters, without blanks.
fn is_text(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.chars().count()) && !text.chars().any(|c| c.is_control() || c.is_whitespace())
}

/// Whether a text is an address that people can be sent to: `https`, a host, no user, password or query.
fn is_address(url: &str) -> bool {
    let rest = url.strip_prefix("https://").unwrap_or_default();
    let authority = rest.split(['/', '\\']).next().unwrap_or_default();
    !authority.is_empty() && !url.contains(['@', '?', '#', '\\']) && is_text(url, 512)
}

fn check_roles(roles: &BTreeMap<String, RoleSpec>) -> Result<(), Fault> {
    if !(1..=500).contains(&roles.len()) {
        return Err(("roles", "must name 1 to 500 groups, or nobody could do anything"));
    }
    for (group, given) in roles {
        if !(1..=256).contains(&group.chars().count()) || group.chars().any(char::is_control) {
            return Err(("roles", "must name groups of 1 to 256 characters"));
        }
        if given.roles.is_empty() {
            return Err(("roles", "must give each group at least one role"));
        }
        if given.roles.contains(&Role::Tenant) {
            return Err(("roles", "must not give `tenant`, which is for a customer's own machine"));
        }
        if given.environments.as_ref().is_some_and(BTreeSet::is_empty) {
            return Err(("roles", "must name at least one environment where it names any"));
        }
    }
    Ok(())
}

fn check_client(client: &ClientSpec, spec: &OperatorSpec) -> Result<(), Fault> {
    // What is discovered is found below the issuer's address (OpenID Connect Discovery 1.0, section 4).
    if !is_address(&spec.issuer) {
        return Err(("issuer", "must be an https address without user and query, for people to sign in there"));
    }
    if !is_text(&client.id, 256) {
        return Err(("client.id", "must be 1 to 256 characters without blanks"));
    }
    // RFC 6749, section 3.3.
    let is_scope = |scope: &String| {
        (1..=128).contains(&scope.len()) && scope.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
    };
    if client.scopes.len() > 20 || !client.scopes.iter().all(is_scope) || !client.scopes.iter().any(|s| s == "openid") {
        return Err(("client.scopes", "must be at most 20 scopes, `openid` among them"));
    }
    if client.resource.as_ref().is_some_and(|resource| !is_text(resource, 512) || resource.contains('#')) {
        return Err(("client.resource", "must be an address without fragment, of at most 512 characters"));
    }
    // The audience of an ID token is the client.
    if spec.types.contains(&TokenType::Plain) && spec.audiences.contains(&client.id) {
        return Err(("audiences", "must not name the client where `types` has JWT: its ID tokens would be believed"));
    }
    Ok(())
}

/// A subject in letters whose case cannot be mistaken, each other byte as `%` and two digits.
fn spelled(subject: &str) -> String {
    let mut text = String::with_capacity(subject.len());
    for byte in subject.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'@' | b':' | b'|' | b'+' | b'/' | b'=' => {
                text.push(char::from(byte));
            }
            other => {
                text.push('%');
                for half in [other >> 4, other & 15] {
                    text.extend(char::from_digit(u32::from(half), 16));
                }
            }
        }
    }
    text
}

#[cfg(test)]
mod tests;
