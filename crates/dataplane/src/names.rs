//! How things are called on a server, and how we recognise what is ours.
//!
//! Names per tenant come from the tenant's id alone, so that they survive a new slug and can be told from a route.
//! Names of an app's common things carry a hash of (installation, environment, cell, app), because roles belong to
//! the whole server. A name proves nothing: an object is ours only when its comment is one of our [`Mark`]s, and
//! nothing without such a mark is ever changed or removed.

use aws_lc_rs::digest::{SHA256, digest};
use tenantry_domain::id::{InstallationId, TenantId, WorkflowId};
use tenantry_domain::isolation::Isolation;
use tenantry_domain::name::{AppName, CellName, EnvironmentName};
use tenantry_pg::{Ident, IdentError};

/// The schema of an app's tables, where tenants do not have a schema of their own.
const APP_SCHEMA: &str = "app";
/// The schema of extensions, which all tenants of a database use and none owns.
pub(crate) const EXTENSIONS: &str = "ext";

/// The names of one app's things on one cell.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    installation: InstallationId,
    realm: String,
    hash: String,
    /// The database of the registry, the shared tables and the tenants' schemas.
    pub home: Ident,
    /// Owns the app's objects in the home database; nobody logs in as it.
    pub owner: Ident,
    /// The login of all tenants at the shared level.
    pub login: Ident,
    /// May connect to the home database and enter a tenant there; all logins of the home are its members.
    pub door: Ident,
    /// May enter the tenant of a database of its own; the logins of such databases are its members. It can connect
    /// nowhere by itself.
    pub inner: Ident,
    /// The schema of the shared tables, and of the tables in a tenant's own database.
    pub app: Ident,
}

impl Names {
    pub fn new(
        installation: InstallationId,
        environment: &EnvironmentName,
        cell: &CellName,
        app: &AppName,
    ) -> Result<Self, IdentError> {
        let realm = format!("{environment}/{cell}/{app}");
        let hash = short_hash(&format!("{installation}/{realm}"));
        Ok(Self {
            installation,
            home: Ident::new(format!("tn_{environment}_{app}"))?,
            owner: Ident::new(format!("tn_{hash}_own"))?,
            login: Ident::new(format!("tn_{hash}_app"))?,
            door: Ident::new(format!("tn_{hash}_in"))?,
            inner: Ident::new(format!("tn_{hash}_db"))?,
            app: Ident::new(APP_SCHEMA)?,
            realm,
            hash,
        })
    }

    /// The shared tables.
    pub fn shared(&self) -> Place {
        Place {
            isolation: Isolation::Shared,
            database: self.home.clone(),
            schema: self.app.clone(),
            owner: self.owner.clone(),
            login: Some(self.login.clone()),
        }
    }

    /// Where a tenant's objects are, at any level.
    pub fn place(&self, tenant: TenantId, isolation: Isolation) -> Result<Place, IdentError> {
        Ok(match isolation {
            Isolation::Shared => self.shared(),
            Isolation::Schema => self.schema(tenant_name(tenant)?)?,
            Isolation::Database | Isolation::Cluster => self.database(tenant_name(tenant)?)?,
        })
    }

    /// A schema with roles named after it.
    pub fn schema(&self, name: Ident) -> Result<Place, IdentError> {
        Ok(Place {
            isolation: Isolation::Schema,
            database: self.home.clone(),
            owner: owner_of(&name)?,
            login: Some(name.clone()),
            schema: name,
        })
    }

    /// A database with roles named after it.
    pub fn database(&self, name: Ident) -> Result<Place, IdentError> {
        Ok(Place {
            isolation: Isolation::Database,
            owner: owner_of(&name)?,
            login: Some(name.clone()),
            database: name,
            schema: self.app.clone(),
        })
    }

    /// A database that others are copied from: nobody may use it.
    pub fn template(&self, name: Ident) -> Place {
        Place {
            isolation: Isolation::Database,
            database: name,
            schema: self.app.clone(),
            owner: self.owner.clone(),
            login: None,
        }
    }

    /// A name nobody had before, for something that is made, or thrown away, aside.
    pub fn aside(&self, purpose: Aside, nonce: u64) -> Result<Ident, IdentError> {
        Ident::new(format!("{}{nonce:016x}", self.aside_prefix(purpose)))
    }

    /// What all names of [`Self::aside`] start with.
    pub fn aside_prefix(&self, purpose: Aside) -> String {
        format!("tn_{}_{}_", purpose.as_str(), self.hash)
    }

    /// The text of a mark.
    pub fn mark(&self, mark: &Mark) -> String {
        let ours = self.installation;
        match mark {
            Mark::Home => format!("tenantry:{ours}:home:{}", self.realm),
            Mark::HomeDraft => format!("tenantry:{ours}:draft:{}", self.realm),
            Mark::Aside(purpose) => format!("tenantry:{ours}:{}:{}", purpose.as_str(), self.realm),
            Mark::Trash(tenant) => format!("tenantry:{ours}:trash:{}:{tenant}", self.realm),
            Mark::Run(tenant) => format!("tenantry:{ours}:run:{}:{tenant}", self.realm),
            Mark::Tenant(tenant, workflow) => format!("tenantry:{ours}:{tenant}:{workflow}"),
        }
    }

    /// The role of whose members a place's login is one.
    pub fn group(&self, isolation: Isolation) -> &Ident {
        match isolation {
            Isolation::Shared | Isolation::Schema => &self.door,
            Isolation::Database | Isolation::Cluster => &self.inner,
        }
    }

    /// What the marks of all tenants' trash start with.
    pub fn trash_marks(&self) -> String {
        format!("tenantry:{}:trash:{}:", self.installation, self.realm)
    }

    /// What the marks of all migration commands' logins start with.
    pub fn run_marks(&self) -> String {
        format!("tenantry:{}:run:{}:", self.installation, self.realm)
    }

    /// What the marks of a tenant's objects start with, whichever workflow made them.
    pub fn tenant_mark(&self, tenant: TenantId) -> String {
        format!("tenantry:{}:{tenant}:", self.installation)
    }
}

/// Why something stands aside under a name of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aside {
    /// Made in advance for a tenant to come.
    Premade,
    /// A database that others are copied from.
    Template,
    /// No longer anybody's, on its way out.
    Trash,
    /// The login of one run of an app's own migration command.
    Run,
}

impl Aside {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Premade => "pre",
            Self::Template => "tpl",
            Self::Trash => "trash",
            Self::Run => "run",
        }
    }
}

/// A comment that says whose an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// A home database and the roles of its app.
    Home,
    /// A home database that was never complete.
    HomeDraft,
    /// Something that stands aside.
    Aside(Aside),
    /// The database that was this tenant's.
    Trash(TenantId),
    /// The login of a migration command that runs for this tenant.
    Run(TenantId),
    /// Made for this tenant by this workflow.
    Tenant(TenantId, WorkflowId),
}

/// Where one set of an app's tables is, and as whom it is owned and used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub isolation: Isolation,
    pub database: Ident,
    pub schema: Ident,
    pub owner: Ident,
    /// Absent in a template, which nobody uses.
    pub login: Option<Ident>,
}

impl Place {
    /// The search path inside a tenant's transaction. Temporary objects come last, or they could shadow tables.
    pub fn path(&self) -> String {
        format!("{}, {EXTENSIONS}, pg_temp", self.schema)
    }

    /// Whether the tables hold rows of more than one tenant.
    pub fn is_common(&self) -> bool {
        self.isolation.needs_tenant_key()
    }
}

/// The name of a tenant's schema or database, and of its login.
pub(crate) fn tenant_name(tenant: TenantId) -> Result<Ident, IdentError> {
    Ident::new(format!("t_{}", tenant.uuid().simple()))
}

fn owner_of(name: &Ident) -> Result<Ident, IdentError> {
    Ident::new(format!("{}_own", name.as_str()))
}

fn short_hash(text: &str) -> String {
    digest(&SHA256, text.as_bytes()).as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn names(cell: &str) -> Names {
        Names::new(
            InstallationId::from_uuid(Uuid::from_u128(1)),
            &EnvironmentName::parse("prod").unwrap(),
            &CellName::parse(cell).unwrap(),
            &AppName::parse("chat").unwrap(),
        )
        .unwrap()
    }

    #[test]
    fn the_longest_names_fit() {
        let names = Names::new(
            InstallationId::from_uuid(Uuid::from_u128(1)),
            &EnvironmentName::parse(&"e".repeat(EnvironmentName::MAX)).unwrap(),
            &CellName::parse(&"c".repeat(CellName::MAX)).unwrap(),
            &AppName::parse(&"a".repeat(AppName::MAX)).unwrap(),
        );
        assert!(names.unwrap().aside(Aside::Trash, u64::MAX).is_ok());
    }

    #[test]
    fn common_roles_differ_by_cell_and_tenant_names_do_not() {
        let (one, two) = (names("one"), names("two"));
        assert_ne!(one.owner, two.owner);
        assert_eq!(one.home, two.home);
        let tenant = TenantId::from_uuid(Uuid::from_u128(7));
        let place = one.place(tenant, Isolation::Schema).unwrap();
        assert_eq!(place.schema.as_str(), "t_00000000000000000000000000000007");
        assert_eq!(place.owner.as_str(), "t_00000000000000000000000000000007_own");
        assert_eq!(Some(place.schema.clone()), place.login);
        assert_eq!(place.path(), "\"t_00000000000000000000000000000007\", ext, pg_temp");
    }

    #[test]
    fn a_tenants_marks_share_their_start() {
        let tenant = TenantId::from_uuid(Uuid::from_u128(7));
        let mark = names("one").mark(&Mark::Tenant(tenant, WorkflowId::from_uuid(Uuid::from_u128(9))));
        assert!(mark.starts_with(&names("one").tenant_mark(tenant)));
        assert!(!names("one").mark(&Mark::Trash(tenant)).starts_with(&names("one").tenant_mark(tenant)));
    }
}
