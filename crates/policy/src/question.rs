//! What policy is asked: who wants to do what to which thing, under which circumstances. Plain values that the caller
//! fills; words are those of the manifest and the API.
//!
//! INVARIANT: a question says everything that a rule may look at. Bounds are checked before anything is evaluated, so
//! that a caller's long list cannot make a decision slow.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tenantry_domain::Timestamp;

/// Most members of one list or map of a question.
pub const MAX_MEMBERS: usize = 1_000;

/// Longest text of a question, in bytes.
pub const MAX_TEXT: usize = 4_096;

/// One question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Question {
    /// Who wants it.
    pub principal: Principal,
    /// What, as the audit names it: `tenant.suspend`.
    pub action: String,
    /// To which thing.
    pub resource: Resource,
    /// Everything else that rules look at.
    #[serde(default)]
    pub context: Circumstances,
}

/// Who wants something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Principal {
    /// What sort of principal.
    pub kind: PrincipalKind,
    /// Its id inside the sort: a token's public part, a controller's name, a user's id.
    pub id: String,
    /// Names of its roles.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub roles: BTreeSet<String>,
    /// The environment that it is bound to; absent when it reaches several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
}

/// Sorts of principals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PrincipalKind {
    /// A person of the operator.
    Operator,
    /// A machine of the operator.
    Service,
    /// A controller or workflow of ours.
    Controller,
    /// A member of a tenant.
    User,
}

impl PrincipalKind {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Service => "service",
            Self::Controller => "controller",
            Self::User => "user",
        }
    }
}

impl Principal {
    /// Kind and id in one text, as rules, approvals and the audit name it: `operator:tok_1`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}:{}", self.kind.as_str(), self.id)
    }
}

/// The thing that an action is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum Resource {
    /// A tenant.
    Tenant(TenantFacts),
    /// A whole environment: its catalog, or all of its tenants.
    Environment(EnvironmentFacts),
    /// Any other thing of an environment, possibly of one tenant: a cell, a login, a member, a backup.
    Object(ObjectFacts),
}

/// What rules know of a tenant. Of one that does not exist yet: what it would be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TenantFacts {
    /// Its id; the slug of one that has none yet.
    pub id: String,
    /// Its name in the environment.
    pub slug: String,
    /// The partition.
    pub environment: String,
    /// Code of the plan that it is bound to.
    pub plan: String,
    /// Where in the lifecycle it is: `draft`, `active`, `suspended`, `archived`, `deleted`.
    pub phase: String,
    /// Its level: `shared`, `schema`, `database`, `cluster`.
    pub isolation: String,
    /// The region where its data lies; absent as long as it has no place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Regions where its data may lie.
    #[serde(default)]
    pub allowed_regions: BTreeSet<String>,
    /// Residency flags of its manifest.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub residency_flags: BTreeSet<String>,
    /// Its labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// `trial`, `paying` or `pastDue`; absent counts as `paying`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commercial: Option<String>,
    /// `normal`, `high` or `critical`; absent counts as `normal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub importance: Option<String>,
    /// Hardening profile: `soc2`, `pci`, `hipaa`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Under special regulation.
    #[serde(default)]
    pub regulated: bool,
    /// Nobody's: a test's, a demo's, a canary's.
    #[serde(default)]
    pub synthetic: bool,
    /// Its data must not be removed, whatever else is wanted.
    #[serde(default)]
    pub legal_hold: bool,
}

/// What rules know of an environment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnvironmentFacts {
    /// Its name.
    pub name: String,
    /// Its labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// What rules know of any other thing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ObjectFacts {
    /// Sort of thing, in the API's words: `cell`, `gatewayLogin`, `member`.
    pub kind: String,
    /// Its id, or its name when it has no id.
    pub id: String,
    /// The partition.
    pub environment: String,
    /// The tenant that it belongs to; absent when it is the operator's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantFacts>,
    /// Its labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// Everything that is neither who, what nor which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Circumstances {
    /// Whether the role matrix grants the action to the principal.
    pub granted: bool,
    /// The moment that the request is judged at.
    pub now: Timestamp,
    /// The reason that the caller gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who has approved exactly this action, by [`Principal::name`].
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub approvals: BTreeSet<String>,
    /// Regions that data would lie in or go to: of a placement or move, a backup's or export's target, a webhook's host.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub regions: BTreeSet<String>,
    /// How data is encrypted where it would lie or go: `none`, `atRest`, `tenantKey`; absent means nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption: Option<String>,
    /// How long data would be kept, in days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<i64>,
    /// What of the tenant would be different afterwards.
    pub wanted: Wanted,
}

impl Default for Circumstances {
    fn default() -> Self {
        Self {
            granted: false,
            now: Timestamp::UNIX_EPOCH,
            reason: None,
            approvals: BTreeSet::new(),
            regions: BTreeSet::new(),
            encryption: None,
            retention_days: None,
            wanted: Wanted::default(),
        }
    }
}

/// What of a tenant would be different after the action. Absent means: as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Wanted {
    /// Another plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// Another level.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub isolation: Option<String>,
    /// Another phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Another hardening profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Other regions where the data may lie.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_regions: Option<BTreeSet<String>>,
}

/// A question that is not asked because it is out of bounds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuestionError {
    /// An id that has to be there is empty.
    #[error("`{0}` is empty")]
    Empty(&'static str),
    /// More than [`MAX_MEMBERS`].
    #[error("`{0}` has more than {MAX_MEMBERS} members")]
    Many(&'static str),
    /// Longer than [`MAX_TEXT`].
    #[error("a text of `{0}` is longer than {MAX_TEXT} bytes")]
    Long(&'static str),
    /// It cannot be put into the form that rules are evaluated on.
    #[error("the question cannot be put to the rules")]
    Unfit,
}

impl Question {
    /// Whether ids are there and everything is within bounds.
    ///
    /// # Errors
    /// The first field that is not.
    pub fn check(&self) -> Result<(), QuestionError> {
        filled("principal.id", &self.principal.id)?;
        filled("action", &self.action)?;
        members("principal.roles", &self.principal.roles)?;
        match &self.resource {
            Resource::Tenant(tenant) => tenant.check()?,
            Resource::Environment(environment) => {
                filled("resource.name", &environment.name)?;
                labels(&environment.labels)?;
            }
            Resource::Object(object) => {
                filled("resource.kind", &object.kind)?;
                filled("resource.id", &object.id)?;
                filled("resource.environment", &object.environment)?;
                labels(&object.labels)?;
                object.tenant.as_ref().map_or(Ok(()), TenantFacts::check)?;
            }
        }
        let context = &self.context;
        members("context.approvals", &context.approvals)?;
        members("context.regions", &context.regions)?;
        context.wanted.allowed_regions.as_ref().map_or(Ok(()), |all| members("context.wanted.allowedRegions", all))?;
        short("context.reason", context.reason.as_deref().unwrap_or_default())
    }
}

impl TenantFacts {
    fn check(&self) -> Result<(), QuestionError> {
        filled("resource.id", &self.id)?;
        filled("resource.environment", &self.environment)?;
        members("resource.allowedRegions", &self.allowed_regions)?;
        members("resource.residencyFlags", &self.residency_flags)?;
        labels(&self.labels)
    }
}

fn filled(field: &'static str, text: &str) -> Result<(), QuestionError> {
    if text.is_empty() { Err(QuestionError::Empty(field)) } else { short(field, text) }
}

fn short(field: &'static str, text: &str) -> Result<(), QuestionError> {
    if text.len() > MAX_TEXT { Err(QuestionError::Long(field)) } else { Ok(()) }
}

fn members(field: &'static str, all: &BTreeSet<String>) -> Result<(), QuestionError> {
    if all.len() > MAX_MEMBERS {
        return Err(QuestionError::Many(field));
    }
    all.iter().try_for_each(|one| short(field, one))
}

fn labels(all: &BTreeMap<String, String>) -> Result<(), QuestionError> {
    if all.len() > MAX_MEMBERS {
        return Err(QuestionError::Many("labels"));
    }
    all.iter().try_for_each(|(key, value)| short("labels", key).and_then(|()| short("labels", value)))
}
