//! Making and unmaking a tenant's place, one driver per level.
//!
//! Whatever cannot be done inside a transaction (`CREATE DATABASE`, `DROP DATABASE`) is done under a name that nobody
//! else knows; the moment in which something becomes a tenant's, or stops being one's, is always one transaction in
//! the home database that holds the claim.

pub(crate) mod database;
pub(crate) mod schema;
mod shared;

use tenantry_domain::isolation::Isolation;
use tenantry_pg::{Session, Sql};

use crate::cell::Cell;
use crate::confined::Door;
use crate::error::DataError;
use crate::names::{Mark, Names, Place, tenant_name};
use crate::roles::{self, Removal};
use crate::space::{Claim, Space};
use crate::{claim, erase, ledger, protect};

/// What creating did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Created {
    /// The place was not there before.
    pub fresh: bool,
    /// It had been made in advance.
    pub premade: bool,
}

/// All that a driver works with.
pub(crate) struct Site<'a> {
    pub cell: &'a Cell,
    pub names: Names,
    pub place: Place,
    pub space: &'a Space,
    pub claim: &'a Claim,
}

impl<'a> Site<'a> {
    pub async fn find(cell: &'a Cell, space: &'a Space, claim: &'a Claim) -> Result<Self, DataError> {
        let names = cell.ensure_home(&space.app).await?;
        let place = names.place(space.tenant, space.isolation)?;
        Ok(Self { cell, names, place, space, claim })
    }

    /// The mark on what this claim's workflow makes.
    pub fn mark(&self) -> String {
        self.names.mark(&Mark::Tenant(self.space.tenant, self.claim.workflow))
    }

    /// What the marks on all things of this tenant start with.
    pub fn marks(&self) -> String {
        self.names.tenant_mark(self.space.tenant)
    }

    /// Brings the place's own roles to their marks, group and password, making them if need be.
    pub async fn settle_roles(&self, session: &Session) -> Result<(), DataError> {
        let server = self.cell.server().await?;
        let mut sql = Sql::new("");
        for role in self.place.login.iter().chain([&self.place.owner]) {
            if roles::find(session, role, &self.marks()).await?.is_none() {
                sql = sql.sql(&roles::make(role, &self.mark(), server));
            }
        }
        if let Some(login) = &self.place.login {
            let group = self.names.group(self.space.isolation);
            sql = sql.sql(&roles::join(group, login)).sql(&roles::set_password(login, &self.cell.verifier(login)));
        }
        Ok(session.batch(&sql).await?)
    }

    /// Fails unless the tenant's schema or database is there and ours.
    pub async fn present(&self, session: &Session) -> Result<(), DataError> {
        let (kind, name) = match self.place.isolation {
            Isolation::Shared => return Ok(()),
            Isolation::Schema => ("schema", &self.place.schema),
            Isolation::Database | Isolation::Cluster => ("database", &self.place.database),
        };
        let found = match self.place.isolation {
            Isolation::Schema => roles::find_schema(session, name, &self.marks()).await?,
            _ => roles::find_database(session, name, &self.marks()).await?,
        };
        let object = || format!("{kind} {}", name.as_str());
        if found.is_none() { Err(DataError::Missing { object: object() }) } else { Ok(()) }
    }
}

impl Cell {
    /// Makes a tenant's place, with the gate shut: at the shared level an entry in the registry, else a schema or
    /// a database with two roles. Takes one that was made in advance if there is one.
    ///
    /// # Errors
    /// The claim is outdated, something foreign has the tenant's names, or the place was lost while the tenant used it.
    pub async fn create(&self, space: &Space, claim: &Claim) -> Result<Created, DataError> {
        space.app.spec.fits(space.isolation)?;
        let site = Site::find(self, space, claim).await?;
        match space.isolation {
            Isolation::Shared => shared::create(&site).await,
            Isolation::Schema => schema::create(&site).await,
            Isolation::Database | Isolation::Cluster => database::create(&site).await,
        }
    }

    /// Undoes [`Self::create`]: removes the place if this claim's workflow made it, and leaves nothing of it.
    ///
    /// # Errors
    /// The claim is outdated, or the tenant's users were let in and left rows.
    pub async fn uncreate(&self, space: &Space, claim: &Claim) -> Result<(), DataError> {
        if !self.has_home(&space.app).await? {
            // Nothing of a tenant is anywhere without the home, which is made before the first of them.
            return Ok(());
        }
        let site = Site::find(self, space, claim).await?;
        let tx = self.home_pool(&site.names).begin().await?;
        let record = claim::hold(self, &tx, space.tenant, claim).await?;
        let opened = ledger::was_opened(&tx, space.tenant).await?;
        tx.commit().await?;
        let ours = record.is_none_or(|record| record.created_by == claim.workflow.to_string());
        if ours
            && opened
            && let Some(table) = first_rows(&site).await?
        {
            return Err(DataError::Occupied { table });
        }
        let registry = if ours { Registry::Forget } else { Registry::Keep };
        let removal = Removal { ours: site.marks(), starts: site.mark() };
        remove(&site, &removal, registry).await
    }
}

/// What removing a place does to the tenant's entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Registry {
    /// It goes with the place, unless the tenant has another place on this server.
    Forget,
    /// It was there before the place.
    Keep,
}

/// Removes the tenant's place as far as the removal takes it.
pub(crate) async fn remove(site: &Site<'_>, removal: &Removal, registry: Registry) -> Result<(), DataError> {
    match site.space.isolation {
        Isolation::Shared => shared::remove(site, removal, registry).await,
        Isolation::Schema => schema::remove(site, removal, registry).await,
        Isolation::Database | Isolation::Cluster => database::remove(site, removal, registry).await,
    }
}

/// Ends a removal: the roles and the entry, unless another place of the tenant on this server still needs them.
async fn forget(site: &Site<'_>, tx: &Session, removal: &Removal, registry: Registry) -> Result<(), DataError> {
    let name = tenant_name(site.space.tenant)?;
    let (schema, database) =
        (roles::find_schema(tx, &name, &site.marks()).await?, roles::find_database(tx, &name, &site.marks()).await?);
    if schema.is_some() || database.is_some() {
        return Ok(());
    }
    if site.space.isolation.has_own_role() {
        roles::drop_pair(tx, &site.place, removal).await?;
    }
    if registry == Registry::Forget {
        claim::bury(tx, site.space.tenant, site.claim).await?;
    }
    Ok(())
}

/// A place that is gone although users were let in was lost, and making an empty one would hide that.
async fn not_lost(site: &Site<'_>, tx: &Session, object: String) -> Result<(), DataError> {
    if ledger::was_opened(tx, site.space.tenant).await? { Err(DataError::Missing { object }) } else { Ok(()) }
}

/// The first tenant table that holds rows of the tenant.
async fn first_rows(site: &Site<'_>) -> Result<Option<String>, DataError> {
    let pool = match site.space.isolation {
        Isolation::Shared | Isolation::Schema => site.cell.home_pool(&site.names),
        Isolation::Database | Isolation::Cluster => {
            let server = site.cell.server_pool().get().await?;
            let found = roles::find_database(&server, &site.place.database, &site.marks()).await;
            server.release();
            if found?.is_none() {
                return Ok(None);
            }
            site.cell.tenant_pool(&site.place.database)
        }
    };
    // It is rolled back in the end, whatever it did to see everything.
    let tx = pool.begin().await?;
    let spec = &site.space.app.spec;
    let (catalog, _) = protect::inspect(&tx, &site.place, spec).await?;
    let key = protect::key_of(spec)?;
    if catalog.hides_rows() && site.cell.server().await?.superuser {
        erase::turn(site, &tx).await?;
        erase::lift(site, &tx).await?;
    }
    if key.is_some() {
        crate::migrate::assume(&tx, site.space.tenant).await?;
    }
    for (name, relation) in &catalog.relations {
        let reference = spec.reference_tables.iter().any(|reference| reference == name);
        if !matches!(relation.kind, 'r' | 'p') || reference {
            continue;
        }
        let table = tenantry_pg::Ident::new(name)?;
        let mut sql = Sql::new("SELECT EXISTS (SELECT FROM ").ident(&site.place.schema).push(".").ident(&table);
        if let Some(key) = &key {
            sql = sql.push(" WHERE ").ident(key).push(" = tenantry.current_tenant()");
        }
        // As the owner: a look at a table is planned, and planning works out index conditions of the app.
        let found = Door::open(&tx, &site.place).await?.ask(&sql.push(")")).await?;
        if found.as_deref() == Some("true") {
            tx.rollback().await?;
            return Ok(Some(name.clone()));
        }
    }
    tx.rollback().await?;
    Ok(None)
}
