//! What the store gives, as the table has it.

use std::collections::BTreeMap;

use tenantry_dataplane::Gate;
use tenantry_domain::Timestamp;
use tenantry_domain::gateway::{LoginName, Whose};
use tenantry_domain::id::TenantId;
use tenantry_domain::name::EnvironmentName;
use tenantry_domain::tenant::Slug;
use tenantry_domain::tenant::lifecycle::Phase;
use tenantry_store::{GatewayCell, GatewayLogin, GatewayRoute, LoginsOf, Store, StoreError};

use crate::table::{Cell, Full, Login, Place, Route, Verifier};

/// Whose a login is, as far as it decides with which entries it changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owner {
    /// A tenant's: with the tenant's.
    Tenant(TenantId),
    /// A service's: with those of its environment.
    Services(EnvironmentName),
}

/// Logins with their versions, by owner.
pub(super) type Versions = BTreeMap<Owner, BTreeMap<LoginName, i64>>;

/// A login with its version and owner.
pub(super) struct Found {
    pub(super) owner: Owner,
    pub(super) version: i64,
    pub(super) login: Login,
}

/// Everything of all environments.
pub(super) async fn everything<'e>(
    store: &Store,
    environments: impl Iterator<Item = &'e EnvironmentName>,
    now: Timestamp,
) -> Result<(Full, Versions), StoreError> {
    let (mut full, mut versions) = (Full::default(), Versions::new());
    for environment in environments {
        let reader = store.read(environment);
        // Logins last: one that names a tenant finds the tenant there.
        full.cells.extend(reader.gateway_cells().await?.into_iter().map(|row| cell(environment, row)));
        full.routes.extend(reader.gateway_routes(None).await?.into_iter().map(|row| route(environment, row, now)));
        for row in reader.gateway_logins(LoginsOf::Everybody).await? {
            let Found { owner, version, login } = login(environment, row);
            versions.entry(owner).or_default().insert(login.name.clone(), version);
            full.logins.push(login);
        }
    }
    Ok((full, versions))
}

/// The routes of some tenants; those that are gone are left out.
pub(super) async fn routes(
    store: &Store,
    environment: &EnvironmentName,
    tenants: &[TenantId],
    now: Timestamp,
) -> Result<Vec<Route>, StoreError> {
    let rows = store.read(environment).gateway_routes(Some(tenants)).await?;
    Ok(rows.into_iter().map(|row| route(environment, row, now)).collect())
}

/// Some logins.
pub(super) async fn logins(
    store: &Store,
    environment: &EnvironmentName,
    of: LoginsOf<'_>,
) -> Result<Vec<Found>, StoreError> {
    let rows = store.read(environment).gateway_logins(of).await?;
    Ok(rows.into_iter().map(|row| login(environment, row)).collect())
}

fn route(environment: &EnvironmentName, row: GatewayRoute, now: Timestamp) -> Route {
    let (connections, rate, statement) = (row.connections(now), row.transactions(now), row.statement(now));
    let epoch = row.generation;
    Route {
        tenant: row.tenant,
        environment: environment.clone(),
        slug: row.slug,
        // What could not be a slug could not be told from an id or quoted in a URL.
        aliases: row.aliases.into_iter().filter_map(|alias| Slug::stored(alias).ok()).collect(),
        app: row.app,
        gate: gate(row.phase),
        place: row.place.map(|(cell, isolation)| Place { cell, isolation, epoch }),
        connections,
        rate,
        statement,
    }
}

/// The gate that a phase calls for. The cell's own has the last word.
const fn gate(phase: Phase) -> Gate {
    match phase {
        Phase::Draft => Gate::Preparing,
        Phase::Active => Gate::Open,
        Phase::Suspended => Gate::Suspended,
        Phase::Archived | Phase::Deleted => Gate::Archived,
    }
}

fn login(environment: &EnvironmentName, row: GatewayLogin) -> Found {
    let owner = match &row.login.whose {
        Whose::Tenant(tenant) => Owner::Tenant(*tenant),
        Whose::Service { .. } => Owner::Services(environment.clone()),
    };
    let newest = row.verifiers.current.map(|verifier| Verifier { text: verifier.text().clone(), until: None });
    let old = row.verifiers.old.map(|(verifier, until)| Verifier { text: verifier.text().clone(), until: Some(until) });
    let login = Login {
        name: row.name,
        environment: environment.clone(),
        whose: row.login.whose,
        mode: row.login.mode,
        access: row.login.access,
        server: row.login.server,
        proof: row.login.proof,
        verifiers: newest.into_iter().chain(old).collect(),
        connections: row.login.connections,
        expires: row.login.expires,
        version: Some(row.version),
    };
    Found { owner, version: row.version, login }
}

fn cell(environment: &EnvironmentName, row: GatewayCell) -> Cell {
    Cell { environment: environment.clone(), name: row.name, database: row.database, standbys: row.standbys }
}
