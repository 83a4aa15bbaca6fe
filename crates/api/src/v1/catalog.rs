//! What an environment is made of besides tenants: apps, plans, regions, cells and meters, in the shape of their manifests.
//!
//! Long because every kind of object has its whole shape here.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tenantry_domain::cell::SecretRef;
use tenantry_domain::plan::Tenants;
use tenantry_domain::quantity::Quantity;
use tenantry_domain::{app, cell, plan, rollout};
use utoipa::ToSchema;

use super::quota::bound;
use super::tenant::{amount, text};
pub use super::terms::{Backup, Customization, Price, Slo};
use super::{Metadata, words};

/// An object of the catalog.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Object<T> {
    /// `tenantry.dev/v1`.
    #[schema(example = "tenantry.dev/v1")]
    pub api_version: String,
    /// `App`, `Plan`, `Region`, `Cell` or `Meter`.
    pub kind: String,
    /// Name and environment.
    pub metadata: Metadata,
    /// What is wanted.
    pub spec: T,
    /// What is.
    pub status: ObjectStatus,
}

/// What is true of an object of the catalog.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectStatus {
    /// The newest version.
    pub version: i64,
    /// When it was first applied.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// Kind-specific facts, such as a cell's places in use.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub details: BTreeMap<String, Value>,
}

/// A plan: what a tenant that is bound to it is entitled to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanSpec {
    /// The level at which its tenants live.
    #[schema(schema_with = words::isolation)]
    pub isolation: String,
    /// Taken by tenants that name no plan.
    #[serde(default)]
    pub default: bool,
    /// Amounts by name: a number, `50Gi`, `1000000/month`, `unlimited`; or `limit`, `mode` (off, observed, soft, hard) and
    /// `warnAt`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(example = json!({"users": 100, "storage": {"limit": "50Gi", "mode": "soft", "warnAt": "80%"}}))]
    pub quotas: BTreeMap<String, Value>,
    /// Rates by endpoint class, `1000/min`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(example = json!({"api": "1000/min"}))]
    pub rate_limits: BTreeMap<String, Value>,
    /// Flags and values by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(example = json!({"ai": true}))]
    pub features: BTreeMap<String, Value>,
    /// Backup class.
    #[serde(default)]
    pub backup: Backup,
    /// Service level.
    #[serde(default)]
    pub slo: Slo,
    /// Support class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 100)]
    pub support: Option<String>,
    /// How long an archived tenant's data is kept, in days; 90 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "90d")]
    pub archive_retention: Option<String>,
    /// What this version means to tenants that have an older one: `follow`, or `keep` until they are upgraded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::plan_tenants)]
    pub tenants: Option<String>,
    /// What the plan is called where it is sold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 100)]
    pub title: Option<String>,
    /// What it costs; left out for a price by agreement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub price: Option<Price>,
    /// Which resources are stamped for a tenant; left out for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 50, example = "namespace")]
    pub blueprint: Option<String>,
    /// How many databases of each kind serve a tenant; shared ones count.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(example = json!({"postgresql": 3, "graph": 1, "document": 1}))]
    pub databases: BTreeMap<String, u32>,
    /// Under which host its tenants are found; left out, nothing is forbidden.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::plan_host)]
    pub host: Option<String>,
    /// What its tenants may set for themselves; left out, nothing is forbidden.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub customization: Option<Customization>,
    /// How a tenant's data leaves: `manual`, `api`, `scheduled`, `direct`; left out, the plan says nothing about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_items = 4, example = json!(["api", "scheduled"]))]
    pub exports: Option<Vec<String>>,
    /// Where its tenants' users are kept at the identity provider; left out, it is nobody's concern here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::plan_identity)]
    pub identity: Option<String>,
    /// How people sign in to a pool of the tenant's own: `password`, `emailLink`, `sso`; left out, by password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_items = 3, example = json!(["password", "sso"]))]
    pub sign_in: Option<Vec<String>>,
    /// What people show besides, in a pool of the tenant's own; left out, nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::second_factor)]
    pub second_factor: Option<String>,
}

/// A region: a label of the operator's topology.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RegionSpec {
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 1000)]
    pub description: Option<String>,
    /// How far other regions are, in any one unit; one direction is enough. Tenants without a preferred region are placed
    /// in the closest allowed one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(example = json!({"us-east": 80}))]
    pub distances: BTreeMap<String, u32>,
}

/// A cell: a unit of capacity in a region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CellSpec {
    /// The region that it stands in.
    #[schema(example = "eu-west")]
    pub region: String,
    /// Pooled or dedicated.
    #[schema(schema_with = words::cell_kind)]
    pub kind: String,
    /// The administrative connection of its PostgreSQL server, by reference.
    pub database: Database,
    /// Streaming replicas of that server, in the same region, by reference: they serve gateway logins that only read and
    /// ask for a standby.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 8)]
    pub standbys: Vec<Database>,
    /// Weighted places per level. May be left out for dedicated cells.
    #[serde(default)]
    pub capacity: Capacity,
    /// A drained cell keeps its tenants and takes no new ones.
    #[serde(default)]
    pub draining: bool,
    /// How what lies there is encrypted; for rules that require it. What is not said counts as not encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::encryption)]
    pub encryption: Option<String>,
    /// The most that hard quotas of its tenants may promise together, by the quota's name: a number, or a size such as `2Ti`. What
    /// is not named has no bound.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(example = json!({"storage": "2Ti", "connections": "400"}))]
    pub promises: BTreeMap<String, String>,
}

/// A connection, by reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Database {
    /// Where the URL is found at run time; the URL itself is never stored.
    pub url_from: SecretSource,
}

/// Where a secret is found: exactly one of the two.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SecretSource {
    /// An environment variable of the control plane.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "EU_WEST_1_URL")]
    pub env: Option<String>,
    /// A file that the control plane can read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub file: Option<String>,
}

/// Weighted places per level.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Capacity {
    /// Places in shared tables.
    #[schema(maximum = 1_000_000)]
    pub shared: u32,
    /// Places as schema.
    #[schema(maximum = 1_000_000)]
    pub schema: u32,
    /// Places as database.
    #[schema(maximum = 1_000_000)]
    pub database: u32,
}

/// An app: the user's product as the data plane sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppSpec {
    /// Where the structure comes from.
    pub migrations: Migrations,
    /// The tenant column; `null` when the app has none, which rules out the level `shared`. Must be written down.
    #[schema(required = true, example = "tenant_id")]
    pub tenant_key: Option<String>,
    /// Tables that all tenants read and none writes.
    #[serde(default)]
    pub reference_tables: Vec<String>,
    /// How a new version reaches its targets.
    #[serde(default, skip_serializing_if = "RolloutStrategy::is_default")]
    pub rollout: RolloutStrategy,
}

/// How new versions of an app reach their targets: first a few canaries, then waves. Without it: one canary, then the
/// rest; a failure stops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RolloutStrategy {
    /// Who goes first.
    pub canary: Canary,
    /// The waves behind the canaries, as rising shares of the rest in percent; the last one is 100.
    #[schema(max_items = 20, example = json!([10, 100]))]
    pub waves: Vec<u8>,
    /// The time between the end of a wave and the beginning of the next, at most `7d`.
    #[schema(example = "10m", pattern = "^[0-9]+(ms|s|m|h|d)$")]
    pub pause: String,
    /// Whether a person has to let each wave behind the first begin.
    pub approval: bool,
    /// `stop`: behind a failed target nobody else begins. `continue`: the others go on.
    #[schema(example = "stop")]
    pub on_failure: String,
    /// Most targets of one cell at work at a time, 1 to 64; how many are is found out by looking at the server.
    #[schema(minimum = 1, maximum = 64)]
    pub parallel: u32,
    /// How long one try waits for a lock, `10ms` to `60s`; there are several tries.
    #[schema(example = "2s", pattern = "^[0-9]+(ms|s|m|h|d)$")]
    pub lock_timeout: String,
    /// A query that has to give `true` in each migrated target, in the transaction of its last file.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "SELECT count(*) > 0 FROM countries")]
    pub check: Option<String>,
}

impl RolloutStrategy {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for RolloutStrategy {
    fn default() -> Self {
        Self::from(&rollout::Strategy::default())
    }
}

/// Who goes first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Canary {
    /// At least so many targets; 0 for no first wave of its own.
    #[schema(maximum = 1000)]
    pub count: u32,
    /// Tenants with all of these labels; else synthetic tenants, else the first ones.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl Default for Canary {
    fn default() -> Self {
        Self { count: 1, labels: BTreeMap::new() }
    }
}

/// Either files or a command. The command line also takes `path`, and sends the folder's files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Migrations {
    /// The stream, in the order of names.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub files: Option<Vec<MigrationFile>>,
    /// A command of the app's own framework.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "python manage.py migrate --noinput")]
    pub exec: Option<String>,
    /// Where the command runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub directory: Option<String>,
}

/// One file of a migration stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MigrationFile {
    /// Orders the stream.
    #[schema(example = "0001_init.sql")]
    pub name: String,
    /// The SQL text, unqualified.
    pub sql: String,
}

impl From<&plan::PlanSpec> for PlanSpec {
    fn from(spec: &plan::PlanSpec) -> Self {
        let amounts =
            |all: &BTreeMap<_, _>| all.iter().map(|(name, value)| (String::clone(name), amount(value))).collect();
        Self {
            isolation: spec.isolation.to_string(),
            default: spec.default,
            quotas: spec.quotas.iter().map(|(name, quota)| (name.clone(), bound(quota))).collect(),
            rate_limits: amounts(&spec.rate_limits),
            features: spec.features.clone(),
            backup: Backup { retention: spec.backup.retention_days.map(|days| format!("{days}d")) },
            slo: Slo { availability: spec.slo.availability.clone() },
            support: spec.support.clone(),
            archive_retention: Some(format!("{}d", spec.archive_retention_days)),
            tenants: Some(spec.tenants.as_str().to_owned()).filter(|_| spec.tenants != Tenants::Follow),
            title: spec.terms.title.clone(),
            price: spec.terms.price.as_ref().map(Price::from),
            blueprint: spec.terms.blueprint.clone(),
            databases: spec.terms.databases.clone(),
            host: spec.terms.host.map(|host| host.as_str().to_owned()),
            customization: spec.terms.customization.as_ref().map(Customization::from),
            exports: spec.terms.exports.as_ref().map(|ways| ways.iter().map(|way| way.as_str().to_owned()).collect()),
            identity: spec.terms.identity.map(|word| word.as_str().to_owned()),
            sign_in: spec.terms.sign_in.as_ref().map(|ways| ways.iter().map(|way| way.as_str().to_owned()).collect()),
            second_factor: spec.terms.second_factor.map(|word| word.as_str().to_owned()),
        }
    }
}

impl From<&cell::RegionSpec> for RegionSpec {
    fn from(spec: &cell::RegionSpec) -> Self {
        let distances = spec.distances.iter().map(|(region, far)| (region.to_string(), *far)).collect();
        Self { description: spec.description.clone(), distances }
    }
}

impl From<&cell::CellSpec> for CellSpec {
    fn from(spec: &cell::CellSpec) -> Self {
        let database = |place: &SecretRef| Database {
            url_from: match place {
                SecretRef::Env(name) => SecretSource { env: Some(name.clone()), file: None },
                SecretRef::File(path) => SecretSource { env: None, file: Some(path.clone()) },
            },
        };
        Self {
            region: spec.region.to_string(),
            kind: text(&spec.kind),
            database: database(&spec.database),
            standbys: spec.standbys.iter().map(database).collect(),
            capacity: Capacity {
                shared: spec.capacity.shared,
                schema: spec.capacity.schema,
                database: spec.capacity.database,
            },
            draining: spec.draining,
            encryption: spec.encryption.map(|kind| kind.as_str().to_owned()),
            promises: spec
                .promises
                .iter()
                .map(|(name, amount)| (name.clone(), Quantity { amount: Some(*amount), per: None }.to_string()))
                .collect(),
        }
    }
}

impl From<&app::Spec> for AppSpec {
    fn from(spec: &app::Spec) -> Self {
        let migrations = match &spec.migrations {
            app::Migrations::Files { files } => {
                let file = |file: &app::MigrationFile| MigrationFile { name: file.name.clone(), sql: file.sql.clone() };
                Migrations { files: Some(files.iter().map(file).collect()), ..Migrations::default() }
            }
            app::Migrations::Exec { command, directory } => {
                Migrations { files: None, exec: Some(command.clone()), directory: directory.clone() }
            }
        };
        Self {
            migrations,
            tenant_key: spec.tenant_key.clone(),
            reference_tables: spec.reference_tables.clone(),
            rollout: RolloutStrategy::from(&spec.rollout),
        }
    }
}

impl From<&rollout::Strategy> for RolloutStrategy {
    fn from(strategy: &rollout::Strategy) -> Self {
        Self {
            canary: Canary { count: strategy.canary.count, labels: strategy.canary.labels.clone() },
            waves: strategy.waves.clone(),
            pause: format!("{}s", strategy.pause_seconds),
            approval: strategy.approval,
            on_failure: text(&strategy.on_failure),
            parallel: strategy.parallel,
            lock_timeout: format!("{}ms", strategy.lock_timeout_ms),
            check: strategy.check.clone(),
        }
    }
}
