//! The entry that every write owes, and the chain that makes the entries evidence.
//!
//! Per subject (a tenant, or an environment for what belongs to no tenant) entries are numbered 1, 2, 3, … and
//! chained: `hash(n) = SHA-256(DOMAIN ‖ hash(n-1) ‖ canonical(n))`, `hash(0)` being 32 zero bytes. The subject's
//! row keeps count and newest hash. The canonical form (RFC 8785) of an entry is stored as text and is the only
//! source of every searchable column. Hashing itself comes in as a function, since this crate knows no digest.

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::canonical;
use crate::id::TenantId;
use crate::name::EnvironmentName;
use crate::policy::Actor;

/// Prefix of everything that is hashed, so that no digest of ours can stand for another purpose.
pub const DOMAIN: &[u8] = b"tenantry.audit.v1\n";

/// A SHA-256 digest.
pub type Hash = [u8; 32];

/// The hash before the first entry.
pub const GENESIS: Hash = [0; 32];

/// What kind of fact an entry records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Category {
    /// The desired state changed; one per version.
    Mutation,
    /// A controller moved the actual state.
    Transition,
    /// A workflow began, ended, or was steered.
    Workflow,
    /// Drift was found or repaired.
    Drift,
    /// An attempt that had no effect.
    Refusal,
    /// A credential was made or used for something that is watched.
    Access,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// It took effect.
    Success,
    /// Policy or access refused it.
    Denied,
    /// It was tried and did not take effect.
    Failed,
}

/// What is known before the entry gets its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Draft {
    /// `tenant.suspend`, `plan.apply`, …
    pub action: String,
    /// The kind of fact.
    pub category: Category,
    /// How it ended.
    pub outcome: Outcome,
    /// Who did it.
    pub actor: Actor,
    /// What it was done to, `tenant/acme`, `plan/standard`.
    pub target: String,
    /// The version that the change made; absent for what makes none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
    /// Why, where a reason is owed or given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The request.
    pub request_id: String,
    /// The chain of requests that it belongs to.
    pub correlation_id: String,
    /// The rules that allowed or refused it.
    pub policy: String,
    /// What changed, by path; values of settings and contacts are left out.
    pub changes: serde_json::Value,
}

/// A numbered entry, as it is stored and shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// 1 for the first entry of the subject.
    pub seq: i64,
    /// When, by the control plane's clock.
    pub at: Timestamp,
    /// The partition.
    pub environment: EnvironmentName,
    /// The tenant; absent for entries of the environment itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    /// The rest.
    #[serde(flatten)]
    pub draft: Draft,
}

impl Entry {
    /// The text that is hashed and stored.
    #[must_use]
    pub fn canonical(&self) -> String {
        serde_json::to_value(self).map(|value| canonical::to_string(&value)).unwrap_or_default()
    }
}

/// The hash of an entry that follows `previous`.
pub fn link(previous: &Hash, canonical: &str, sha256: impl Fn(&[&[u8]]) -> Hash) -> Hash {
    sha256(&[DOMAIN, previous, canonical.as_bytes()])
}

/// A stored link as the verifier gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link<'a> {
    /// The row's number.
    pub seq: i64,
    /// The row's text.
    pub canonical: &'a str,
    /// The row's hash.
    pub hash: &'a [u8],
}

/// What a verifier found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Tampering {
    /// A number is missing: an entry was removed.
    #[error("entry {seq} is missing")]
    Missing {
        /// The missing number.
        seq: i64,
    },
    /// A number comes twice or too early: an entry was inserted or renumbered.
    #[error("entry {seq} is out of place, {expected} was expected")]
    OutOfPlace {
        /// The number found.
        seq: i64,
        /// The number that should be there.
        expected: i64,
    },
    /// The text does not give the hash: text, hash or predecessor was changed.
    #[error("entry {seq} does not match its hash")]
    Hash {
        /// The entry.
        seq: i64,
    },
    /// The text names another number, tenant or environment than its row: it was copied from elsewhere.
    #[error("entry {seq} belongs elsewhere: its text says {says}")]
    Foreign {
        /// The entry.
        seq: i64,
        /// What the text claims.
        says: String,
    },
    /// A column that searches go by says something else than the text.
    #[error("the searchable columns of entry {seq} differ from its text")]
    Columns {
        /// The entry.
        seq: i64,
    },
    /// Entries are chained correctly, but the subject's row keeps another count: the end was cut or added to.
    #[error("the subject counts {counted} entries, {found} were found")]
    Count {
        /// Count in the subject's row.
        counted: i64,
        /// Entries found.
        found: i64,
    },
    /// Count agrees, newest hash does not: the whole chain was written anew.
    #[error("the newest hash is not the one that the subject keeps (entry {seq})")]
    Head {
        /// The newest entry.
        seq: i64,
    },
    /// The subject's row itself is gone while entries remain.
    #[error("{found} entries have no subject")]
    Orphaned {
        /// Entries found.
        found: i64,
    },
    /// The numbers of mutations disagree with the subject's version.
    #[error("the subject has version {version}, its entries record {mutations} mutations")]
    Version {
        /// Version in the subject's row.
        version: i64,
        /// Mutations recorded.
        mutations: i64,
    },
}

/// Walks a chain, one link at a time, in constant memory.
#[derive(Debug, Clone)]
pub struct Verifier {
    expected: i64,
    previous: Hash,
    environment: String,
    tenant: Option<String>,
}

impl Verifier {
    /// Begins at the first entry of a subject.
    #[must_use]
    pub fn new(environment: &EnvironmentName, tenant: Option<TenantId>) -> Self {
        Self {
            expected: 1,
            previous: GENESIS,
            environment: environment.as_str().to_owned(),
            tenant: tenant.map(|tenant| tenant.to_string()),
        }
    }

    /// Checks the next link.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn step(&mut self, link: &Link<'_>, sha256: impl Fn(&[&[u8]]) -> Hash) -> Result<(), Tampering> {
        if link.seq > self.expected {
            return Err(Tampering::Missing { seq: self.expected });
        }
        if link.seq < self.expected {
            return Err(Tampering::OutOfPlace { seq: link.seq, expected: self.expected });
        }
        let hash = self::link(&self.previous, link.canonical, sha256);
        if hash.as_slice() != link.hash {
            return Err(Tampering::Hash { seq: link.seq });
        }
        if !self.names_owner(link) {
            let says = link.canonical.chars().take(160).collect();
            return Err(Tampering::Foreign { seq: link.seq, says });
        }
        self.previous = hash;
        self.expected += 1;
        Ok(())
    }

    fn names_owner(&self, link: &Link<'_>) -> bool {
        let Some(owner) = Owner::of(link.canonical) else { return false };
        owner.environment == self.environment && owner.tenant == self.tenant.as_deref() && owner.seq == link.seq
    }

    /// Checks the end against the subject's row.
    ///
    /// # Errors
    /// Cut, added to, or written anew.
    pub fn finish(self, counted: i64, head: &[u8]) -> Result<i64, Tampering> {
        let found = self.expected - 1;
        if counted != found {
            return Err(Tampering::Count { counted, found });
        }
        if head != self.previous.as_slice() {
            return Err(Tampering::Head { seq: found });
        }
        Ok(found)
    }
}

/// Whose entry a text says it is.
#[derive(Debug, PartialEq, Eq)]
struct Owner<'a> {
    environment: &'a str,
    seq: i64,
    tenant: Option<&'a str>,
}

impl<'a> Owner<'a> {
    /// Reads the members behind `changes` from the end of the text. Members are sorted, those behind it are strings
    /// and numbers, and no byte of a string is an unescaped quote, so nothing in front of them needs a look. Without
    /// an allocation: a verifier walks a million entries a second.
    fn of(canonical: &'a str) -> Option<Self> {
        let mut rest = canonical.strip_suffix('}')?;
        let (mut seq, mut tenant) = (None, None);
        loop {
            let (before, value) = last_scalar(rest)?;
            let (before, name) = last_string(before.strip_suffix(':')?)?;
            match name {
                "seq" => seq = Some(value.parse().ok()?),
                "tenant" => tenant = Some(value),
                "environment" => return Some(Self { environment: value, seq: seq?, tenant }),
                "outcome" | "policy" | "reason" | "requestId" | "target" | "version" => {}
                _ => return None,
            }
            rest = before.strip_suffix(',')?;
        }
    }
}

/// Splits a string or number off the end.
fn last_scalar(text: &str) -> Option<(&str, &str)> {
    if text.ends_with('"') {
        return last_string(text);
    }
    let digits = text.bytes().rev().take_while(u8::is_ascii_digit).count();
    (digits > 0).then(|| text.split_at(text.len() - digits))
}

/// Splits a string off the end; gives what is between its quotes.
fn last_string(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_suffix('"')?;
    let mut end = inner.len();
    loop {
        let quote = inner[..end].rfind('"')?;
        let escapes = inner[..quote].bytes().rev().take_while(|byte| *byte == b'\\').count();
        if escapes % 2 == 0 {
            return Some((&inner[..quote], &inner[quote + 1..]));
        }
        end = quote;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::ActorKind;
    use serde_json::json;

    /// Any function will do where only the walk is tested.
    fn digest(parts: &[&[u8]]) -> Hash {
        let mut hash = [7_u8; 32];
        for (place, byte) in parts.concat().into_iter().enumerate() {
            let slot = &mut hash[place % 32];
            *slot = slot.rotate_left(3) ^ byte.wrapping_add(u8::try_from(place % 251).unwrap());
        }
        hash
    }

    fn entry(seq: i64, tenant: Option<TenantId>, target: &str, changes: serde_json::Value) -> Entry {
        Entry {
            seq,
            at: Timestamp::UNIX_EPOCH,
            environment: EnvironmentName::parse("prod").unwrap(),
            tenant,
            draft: Draft {
                action: "tenant.update".into(),
                category: Category::Mutation,
                outcome: Outcome::Success,
                actor: Actor { kind: ActorKind::Operator, id: "a\"\\".into() },
                target: target.into(),
                version: (seq % 2 == 0).then_some(seq),
                reason: (seq % 3 == 0).then(|| "because \"tenant\":\"x\",\\".into()),
                request_id: "req".into(),
                correlation_id: "c".into(),
                policy: "builtin/v1".into(),
                changes,
            },
        }
    }

    fn tenant(n: u128) -> TenantId {
        TenantId::from_uuid(uuid::Uuid::from_u128(n))
    }

    fn verify(owner: Option<TenantId>, entries: &[Entry]) -> Result<i64, Tampering> {
        let mut verifier = Verifier::new(&EnvironmentName::parse("prod").unwrap(), owner);
        let mut hash = GENESIS;
        for (place, entry) in entries.iter().enumerate() {
            let canonical = entry.canonical();
            hash = link(&hash, &canonical, digest);
            let seq = i64::try_from(place).unwrap() + 1;
            verifier.step(&Link { seq, canonical: &canonical, hash: &hash }, digest)?;
        }
        verifier.finish(i64::try_from(entries.len()).unwrap(), &hash)
    }

    #[test]
    fn whatever_changes_say_the_owner_is_read_from_the_entry_itself() {
        let misleading =
            json!({ "tenant": "ten_x", "seq": 9, "environment": "staging", "z": [{ "seq": 1 }], "q": "\"}" });
        for owner in [Some(tenant(1)), None] {
            for target in ["tenant/acme", "a \"quoted\" one", "ends in \\", ""] {
                let entries: Vec<Entry> = (1..8).map(|seq| entry(seq, owner, target, misleading.clone())).collect();
                assert_eq!(verify(owner, &entries), Ok(7), "{target}");
            }
        }
    }

    #[test]
    fn an_entry_of_another_owner_or_place_is_foreign() {
        let foreign = |owner, entry: Entry| {
            assert!(matches!(verify(owner, &[entry]), Err(Tampering::Foreign { seq: 1, .. })));
        };
        foreign(Some(tenant(1)), entry(1, Some(tenant(2)), "t", json!({})));
        foreign(Some(tenant(1)), entry(1, None, "t", json!({ "tenant": tenant(1) })));
        foreign(None, entry(1, Some(tenant(1)), "t", json!({})));
        // 1 is the beginning of 10, which is not enough.
        foreign(Some(tenant(1)), entry(10, Some(tenant(1)), "t", json!({ "seq": 1 })));
        let mut elsewhere = entry(1, Some(tenant(1)), "t", json!({ "environment": "prod" }));
        elsewhere.environment = EnvironmentName::parse("staging").unwrap();
        foreign(Some(tenant(1)), elsewhere);
    }

    #[test]
    fn a_text_that_is_no_entry_belongs_to_nobody() {
        for text in [
            "",
            "}",
            "{}",
            "null",
            "\"}",
            "\\\"}",
            "{\"seq\":1}",
            "{\"environment\":\"prod\"}",
            "{\"environment\":\"prod\",\"seq\":}",
        ] {
            assert_eq!(Owner::of(text), None, "{text}");
        }
    }
}
