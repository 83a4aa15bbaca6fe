//! What a caller may choose: the tier, what counts as the context, how strict defaults are, and bounds.

use jiff::civil::Date;
use serde::Serialize;

/// The isolation level that the statements run at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Several tenants in one table.
    #[default]
    Shared,
    /// Each tenant has a schema.
    Schema,
    /// Each tenant has a database.
    Database,
}

impl Tier {
    /// All tiers.
    pub const ALL: [Self; 3] = [Self::Shared, Self::Schema, Self::Database];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Schema => "schema",
            Self::Database => "database",
        }
    }

    /// The tier of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.word() == word)
    }
}

/// The caller's choices. `Options::default()` is what an app on Tenantry needs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the statements run; rules that make no sense there are silent.
    pub tier: Tier,
    /// Functions whose result is the tenant of the transaction, in lower case, with or without their schema.
    pub context_functions: Vec<String>,
    /// Settings that carry the tenant: nobody may SET them. A name that ends with a point means all below it.
    pub context_settings: Vec<String>,
    /// Whether an INSERT may leave the tenant column to its default.
    pub allow_default: bool,
    /// Whether a migration has to enable and force row-level security itself. Tenantry does that after a migration.
    pub require_guard: bool,
    /// Whether the policies of the database are relied on to pick the tenant's rows. Then statements need no condition of
    /// their own, and only what policies cannot hold is reported.
    pub trust_policies: bool,
    /// The type the tenant column must have; absent when any will do.
    pub tenant_type: Option<String>,
    /// The day on which allowances are judged; absent when none expires.
    pub today: Option<Date>,
    /// Bytes a statement may have. Longer ones are a finding and are not parsed.
    pub statement_max: usize,
    /// Bound for nested brackets and operators; each level needs room on the stack.
    pub nesting_max: usize,
    /// Bound for queries inside of queries.
    pub query_depth_max: usize,
}

/// 16 MiB: an INSERT of a large seed file passes, and its tree still fits into memory.
const STATEMENT_MAX: usize = 16 << 20;

/// Far above what people and frameworks write; the stack of the worker is made for it.
const NESTING_MAX: usize = 2_000;

/// Queries nested more deeply than this are nobody's work.
const QUERY_DEPTH_MAX: usize = 100;

impl Default for Options {
    fn default() -> Self {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Self {
            tier: Tier::Shared,
            context_functions: words(&["tenantry.current_tenant", "current_tenant", "current_setting"]),
            context_settings: words(&["tenantry.", "app.", "request.jwt.", "backtrace_functions", "row_security"]),
            allow_default: true,
            require_guard: false,
            trust_policies: false,
            tenant_type: Some("uuid".to_owned()),
            today: None,
            statement_max: STATEMENT_MAX,
            nesting_max: NESTING_MAX,
            query_depth_max: QUERY_DEPTH_MAX,
        }
    }
}

/// What a forced policy turns into an empty result or a refusal.
const HELD_BY_POLICIES: &[&str] = &["TL101", "TL102", "TL103", "TL104", "TL106"];

impl Options {
    /// Whether a rule is left to the policies of the database.
    pub fn leaves(&self, rule: &str) -> bool {
        self.trust_policies && HELD_BY_POLICIES.contains(&rule)
    }

    /// Whether a function, named in lower case, gives the tenant of the transaction.
    pub fn is_context_function(&self, name: &str) -> bool {
        self.context_functions.iter().any(|known| known == name)
    }

    /// Whether a setting carries the tenant or switches the policies off.
    pub fn is_context_setting(&self, name: &str) -> bool {
        self.context_settings
            .iter()
            .any(|known| known == name || (known.ends_with('.') && name.starts_with(known.as_str())))
    }
}
