//! Issuers of access tokens: whom the installation believes, for what, and where their tokens name the tenant.
//!
//! INVARIANT: an [`Issuer`] exists only when every bound holds. It believes asymmetric algorithms alone, so that no
//! public key can ever be taken for a shared secret, and names tenants of one environment alone.

mod judge;
mod path;
mod strict;
mod unsigned;

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Deserialize;

use super::people::OperatorSpec;
use crate::name::EnvironmentName;

pub use judge::{Head, MAX_BYTES, Payload, TokenFault, Unverified};
pub use path::ClaimPath;
pub use strict::object;

/// What the file of issuers holds, as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerFile {
    /// Those whose tokens name tenants.
    #[serde(default)]
    pub issuers: Vec<IssuerSpec>,
    /// Those whose tokens name people of the operator.
    #[serde(default)]
    pub operators: Vec<OperatorSpec>,
}

/// An issuer, as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct IssuerSpec {
    /// The value of `iss`, compared letter by letter.
    pub issuer: String,
    /// The environment whose tenants it may name.
    pub environment: EnvironmentName,
    /// Values of `aud`, of which a token must have one.
    pub audiences: Vec<String>,
    /// Where its keys are.
    pub keys: KeysSpec,
    /// The algorithms that it may sign with; none for an emulator, which does not sign.
    #[serde(default)]
    pub algorithms: Vec<Algorithm>,
    /// Where the tenant stands in a token: names with dots between, or a JSON Pointer (RFC 6901).
    pub claim: String,
    /// What stands there.
    #[serde(default)]
    pub names: Names,
    /// Whether a token opens the tenant for its members alone: for users whom somebody made a member, in this pool of this
    /// issuer. It has to where the claim holds a pool, because anybody may sign up in one.
    #[serde(default)]
    pub members_only: bool,
    /// The types of tokens; by default `at+jwt` (RFC 9068) alone.
    #[serde(default = "only_access")]
    pub types: BTreeSet<TokenType>,
    /// By how many seconds its clock may differ from ours; 0 to 60.
    #[serde(default = "usual_leeway")]
    pub leeway_seconds: u32,
    /// For how many seconds a token may hold; 60 to 86 400.
    #[serde(default = "usual_lifetime")]
    pub max_lifetime_seconds: u32,
}

pub(super) fn only_access() -> BTreeSet<TokenType> {
    BTreeSet::from([TokenType::Access])
}

pub(super) const fn usual_leeway() -> u32 {
    30
}

const fn usual_lifetime() -> u32 {
    3600
}

/// Where an issuer's keys are: a JSON Web Key Set (RFC 7517).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub enum KeysSpec {
    /// A file of this machine.
    File(PathBuf),
    /// An address, `https` only.
    Url(String),
    /// Nowhere: tokens of an emulator are not signed, and anybody can write one. They are looked at only where the
    /// installation was told to speak to an emulator.
    Emulator,
}

/// What the claim of the tenant holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Names {
    /// The tenant's id or slug.
    #[default]
    Tenant,
    /// The id of the tenant's own pool at the identity provider, such as `firebase.tenant`.
    Pool,
}

/// Signatures that may be believed (RFC 7518, section 3.1; RFC 8037). Shared secrets and `none` are not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[allow(missing_docs, reason = "the names are those of the standard")]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::EdDSA,
    ];

    /// The name in a token's head.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::EdDSA => "EdDSA",
        }
    }

    /// Reads the name in a token's head; letter by letter.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == text)
    }

    /// Whether it belongs to an RSA key.
    #[must_use]
    pub const fn is_rsa(self) -> bool {
        !matches!(self, Self::ES256 | Self::ES384 | Self::EdDSA)
    }
}

/// What `typ` in a token's head may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub enum TokenType {
    /// An access token (RFC 9068).
    #[serde(rename = "at+jwt")]
    Access,
    /// Any JSON Web Token; also one that does not say what it is.
    #[serde(rename = "JWT")]
    Plain,
}

/// Why an issuer is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("issuer {place}: `{field}` {fault}")]
pub struct IssuerError {
    /// Its place in the file, from 1.
    pub place: usize,
    /// The field.
    pub field: &'static str,
    /// What is wrong with it.
    pub fault: &'static str,
}

/// Most issuers of an installation.
pub const MAX_ISSUERS: usize = 100;

/// An issuer that may be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    pub(in crate::access) spec: IssuerSpec,
    pub(in crate::access) claim: ClaimPath,
}

impl Issuer {
    /// Checks all issuers of a file.
    ///
    /// # Errors
    /// The first fault. An issuer twice in one environment is one: which of the two holds would be a guess.
    pub fn check(file: IssuerFile) -> Result<Vec<Self>, IssuerError> {
        let mut known = BTreeSet::new();
        let count = file.issuers.len();
        if count > MAX_ISSUERS {
            return Err(IssuerError { place: count, field: "issuers", fault: "are more than 100" });
        }
        let mut issuers = Vec::with_capacity(count);
        for (index, spec) in file.issuers.into_iter().enumerate() {
            let place = index + 1;
            let claim = check(&spec).map_err(|(field, fault)| IssuerError { place, field, fault })?;
            if !known.insert((spec.environment.clone(), spec.issuer.clone())) {
                return Err(IssuerError { place, field: "issuer", fault: "is named twice for one environment" });
            }
            issuers.push(Self { spec, claim });
        }
        Ok(issuers)
    }

    /// The value of `iss`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.spec.issuer
    }

    /// The environment whose tenants it names.
    #[must_use]
    pub const fn environment(&self) -> &EnvironmentName {
        &self.spec.environment
    }

    /// Where its keys are.
    #[must_use]
    pub const fn keys(&self) -> &KeysSpec {
        &self.spec.keys
    }

    /// What the claim of the tenant holds.
    #[must_use]
    pub const fn names(&self) -> Names {
        self.spec.names
    }

    /// Whether its tokens open a tenant for members alone.
    #[must_use]
    pub const fn is_members_only(&self) -> bool {
        self.spec.members_only
    }

    /// Whether it is an emulator, whose tokens nobody signs.
    #[must_use]
    pub const fn is_unsigned(&self) -> bool {
        matches!(self.spec.keys, KeysSpec::Emulator)
    }

    /// The algorithms that it may sign with.
    #[must_use]
    pub fn algorithms(&self) -> &[Algorithm] {
        &self.spec.algorithms
    }
}

pub(super) fn check(spec: &IssuerSpec) -> Result<ClaimPath, (&'static str, &'static str)> {
    let is_text = |text: &str, most: usize| {
        (1..=most).contains(&text.chars().count()) && !text.chars().any(|c| c.is_control() || c.is_whitespace())
    };
    if !is_text(&spec.issuer, 512) {
        return Err(("issuer", "must be 1 to 512 characters without blanks"));
    }
    if !(1..=20).contains(&spec.audiences.len()) || !spec.audiences.iter().all(|audience| is_text(audience, 512)) {
        return Err(("audiences", "must be 1 to 20 texts without blanks, or tokens for anybody would be believed"));
    }
    if spec.names == Names::Pool && !spec.members_only {
        return Err(("membersOnly", "must be true where `names` is pool: anybody may sign up in one"));
    }
    let is_emulator = spec.keys == KeysSpec::Emulator;
    if is_emulator && !spec.algorithms.is_empty() {
        return Err(("algorithms", "must be left out: an emulator does not sign"));
    }
    if !is_emulator && spec.algorithms.is_empty() {
        return Err(("algorithms", "must name at least one"));
    }
    if spec.types.is_empty() {
        return Err(("types", "must name at least one of `at+jwt` and `JWT`"));
    }
    if spec.leeway_seconds > 60 {
        return Err(("leewaySeconds", "must be at most 60"));
    }
    if !(60..=86_400).contains(&spec.max_lifetime_seconds) {
        return Err(("maxLifetimeSeconds", "must be from 60 to 86400"));
    }
    if let KeysSpec::Url(url) = &spec.keys {
        let rest = url.strip_prefix("https://").ok_or(("keys.url", "must begin with https://"))?;
        let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
        if authority.is_empty() || authority.contains('@') || !is_text(url, 2048) {
            return Err(("keys.url", "must name a host, without user and password"));
        }
    }
    ClaimPath::parse(&spec.claim)
        .ok_or(("claim", "must be 1 to 8 names with dots between, or a JSON Pointer that begins with a slash"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn spec() -> Value {
        json!({
            "issuer": "https://login.example.com/", "environment": "prod", "audiences": ["https://api.example.com"],
            "keys": { "url": "https://login.example.com/keys" }, "algorithms": ["RS256", "ES256"], "claim": "tid",
        })
    }

    fn read(spec: &Value) -> Result<Vec<Issuer>, String> {
        let file: IssuerFile =
            serde_json::from_value(json!({ "issuers": [spec] })).map_err(|error| error.to_string())?;
        Issuer::check(file).map_err(|error| error.to_string())
    }

    #[test]
    fn an_issuer_has_safe_defaults() {
        let issuer = read(&spec()).unwrap().remove(0);
        assert_eq!(issuer.spec.types, BTreeSet::from([TokenType::Access]));
        assert_eq!((issuer.spec.leeway_seconds, issuer.spec.max_lifetime_seconds), (30, 3600));
    }

    #[test]
    fn what_would_believe_too_much_is_refused_and_the_field_named() {
        let wrong = [
            ("issuer", json!(""), "`issuer`"),
            ("issuer", json!("https://a b"), "`issuer`"),
            ("environment", json!("Not A Name"), ""),
            ("audiences", json!([]), "`audiences`"),
            ("audiences", json!([""]), "`audiences`"),
            ("algorithms", json!([]), "`algorithms`"),
            ("algorithms", json!(["HS256"]), "HS256"),
            ("algorithms", json!(["none"]), "none"),
            ("algorithms", json!(["rs256"]), "rs256"),
            ("types", json!([]), "`types`"),
            ("types", json!(["logout+jwt"]), "logout+jwt"),
            ("claim", json!(""), "`claim`"),
            ("claim", json!("a..b"), "`claim`"),
            ("claim", json!("a.b.c.d.e.f.g.h.i"), "`claim`"),
            ("claim", json!("/a~2b"), "`claim`"),
            ("leewaySeconds", json!(61), "`leewaySeconds`"),
            ("leewaySeconds", json!(-1), ""),
            ("maxLifetimeSeconds", json!(59), "`maxLifetimeSeconds`"),
            ("maxLifetimeSeconds", json!(86_401), "`maxLifetimeSeconds`"),
            ("keys", json!({ "url": "http://login.example.com/keys" }), "`keys.url`"),
            ("keys", json!({ "url": "https://" }), "`keys.url`"),
            ("keys", json!({ "url": "https://user:pass@login.example.com" }), "`keys.url`"),
            ("keys", json!({ "inline": "x" }), "inline"),
            ("keys", json!("emulator"), "`algorithms`"),
            ("keys", json!("none"), "none"),
            ("names", json!("user"), "user"),
            ("membersOnly", json!("yes"), ""),
            ("keys", json!({ "file": "a", "url": "https://a.example" }), ""),
            ("allow", json!(true), "allow"),
        ];
        for (field, value, part) in wrong {
            let mut spec = spec();
            spec[field] = value.clone();
            let error = read(&spec).expect_err(&format!("{field}: {value}"));
            assert!(error.contains(part), "{field}: {value}: {error}");
        }
    }

    #[test]
    fn an_emulator_names_no_algorithm_and_a_pool_is_for_members_alone() {
        let mut spec = spec();
        spec["names"] = json!("pool");
        for open in [json!(false), json!(true)] {
            spec["membersOnly"] = open.clone();
            assert_eq!(read(&spec).is_ok(), open == json!(true), "anybody may sign up in a pool");
        }
        spec.as_object_mut().unwrap().remove("membersOnly");
        assert!(read(&spec).unwrap_err().contains("`membersOnly` must be true"));
        spec["membersOnly"] = json!(true);
        spec["algorithms"] = json!([]);
        assert!(read(&spec).unwrap_err().contains("`algorithms`"));
        spec["keys"] = json!("emulator");
        let issuer = read(&spec).unwrap().remove(0);
        assert!(issuer.is_unsigned() && issuer.names() == Names::Pool && issuer.is_members_only());
    }

    #[test]
    fn an_issuer_stands_once_in_an_environment() {
        let twice = |second: &str| {
            let mut other = spec();
            other["environment"] = json!(second);
            Issuer::check(serde_json::from_value(json!({ "issuers": [spec(), other] })).unwrap())
        };
        assert_eq!(twice("prod").unwrap_err().to_string(), "issuer 2: `issuer` is named twice for one environment");
        assert_eq!(twice("test").unwrap().len(), 2);
    }
}
