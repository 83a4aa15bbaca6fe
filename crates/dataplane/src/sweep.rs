//! Looking for drift at all tenants of an app on a cell, with a number of queries that does not grow with theirs.
//!
//! The structure of each schema is hashed inside the server and compared with the hash that was stored when it was last
//! guarded; only those that differ are looked at closely. A tenant's database takes one connection each, a few at a time.
//! Nothing is changed but records of an earlier release, see [`crate::renew`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};
use tenantry_domain::id::TenantId;
use tenantry_domain::isolation::Isolation;
use tenantry_pg::{Pool, PoolOptions, Session};
use uuid::Uuid;

use crate::catalog::{self, get};
use crate::cell::Cell;
use crate::claim::Record;
use crate::error::DataError;
use crate::finding::{Finding, FindingKind};
use crate::ledger;
use crate::names::{Mark, Names, Place};
use crate::observe::{glance, judge_record, objects};
use crate::posture::{self, Entry, Posture, Wanted};
use crate::renew::{Outdated, renew};
use crate::space::{AppTarget, Gate, Space};

/// Databases visited at a time: each visit is a new server process.
const VISITS: usize = 4;

/// What a tenant should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// Which tenant.
    pub tenant: TenantId,
    /// At which level.
    pub isolation: Isolation,
    /// The placement's generation.
    pub epoch: i64,
    /// How the gate should stand.
    pub gate: Gate,
    /// The bound on the connections of its own login, as in [`Space::connections`]; absent when nobody knows it, and then
    /// none is compared. At the shared level there is no such login.
    pub connections: Option<Option<u32>>,
}

/// Deviations. Whoever is as expected is not mentioned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Of what all tenants of the app share: the home, its roles, its seal, the shared tables.
    pub common: Vec<Finding>,
    /// By tenant, those that nobody expected included.
    pub tenants: Vec<(TenantId, Vec<Finding>)>,
}

impl Cell {
    /// Compares all tenants of an app on this cell with what they should be. `expected` names every one of them.
    ///
    /// # Errors
    /// The server refuses, or is gone. A single database that cannot be visited is a finding.
    pub async fn sweep(&self, app: &AppTarget, expected: &[Expected]) -> Result<Swept, DataError> {
        let names = self.ensure_home(app).await?;
        let app = Arc::new(app.clone());
        let mut spaces = BTreeMap::new();
        for one in expected {
            let place = names.place(one.tenant, one.isolation)?;
            let space = Space {
                tenant: one.tenant,
                app: Arc::clone(&app),
                isolation: one.isolation,
                epoch: one.epoch,
                connections: one.connections.flatten(),
            };
            let (gate, connections) = (one.gate, one.connections);
            spaces.insert(one.tenant, Subject { space, place, gate, connections, findings: Vec::new() });
        }
        let tx = self.home_pool(&names).begin().await?;
        tx.execute("SELECT set_config('jit', 'off', true)", &[]).await?;
        let (mut common, mut outdated) = common(&tx, &names, &app).await?;
        let unexpected = records(&tx, &mut spaces).await?;
        outdated.extend(schemas(&tx, &names, &mut spaces).await?);
        postures(&tx, &names, &mut spaces).await?;
        renew(&tx, &outdated).await?;
        tx.commit().await?;
        self.databases(&mut spaces).await;
        if expected.iter().any(|one| one.isolation == Isolation::Shared) {
            common.extend(self.knock(&names).await);
        }
        let mut tenants: Vec<_> = spaces
            .into_iter()
            .filter(|(_, subject)| !subject.findings.is_empty())
            .map(|(tenant, subject)| (tenant, subject.findings))
            .collect();
        tenants.extend(unexpected);
        Ok(Swept { common, tenants })
    }

    /// Whether the login that tenants share still accepts its password. Every login may change its own, and PostgreSQL has
    /// no right that forbids it: an injected statement could lock out all neighbours. Only a try can tell.
    async fn knock(&self, names: &Names) -> Option<Finding> {
        let target = self.target().clone().with_database(names.home.as_str());
        let target = target.with_user(names.login.as_str(), &self.password(&names.login));
        let pool = Pool::new(target, PoolOptions { max: 1, application: "tenantry knock", ..PoolOptions::default() });
        let refused = match pool.get().await {
            Ok(conn) => {
                conn.release();
                false
            }
            Err(error) => error.sqlstate() == Some("28P01"),
        };
        pool.close();
        let object = format!("role {}", names.login.as_str());
        refused.then(|| Finding::repairable(FindingKind::LoginDiffers, object, "has another password"))
    }

    /// The insides of tenants' databases.
    async fn databases(&self, spaces: &mut BTreeMap<TenantId, Subject>) {
        let visits = spaces.values_mut().filter(|subject| subject.in_own_database() && !subject.is_gone());
        stream::iter(visits)
            .for_each_concurrent(VISITS, |subject| async move {
                let visit = self.visit(&subject.place.database);
                match glance(&visit, &subject.space, &subject.place, subject.gate).await {
                    Ok(findings) => subject.findings.extend(findings),
                    Err(error) => {
                        let object = format!("database {}", subject.place.database.as_str());
                        subject.findings.push(Finding::reported(
                            FindingKind::DatabaseMissing,
                            object,
                            error.to_string(),
                        ));
                    }
                }
            })
            .await;
    }
}

/// One tenant with what was found so far.
struct Subject {
    space: Space,
    place: Place,
    gate: Gate,
    connections: Option<Option<u32>>,
    findings: Vec<Finding>,
}

impl Subject {
    fn in_own_database(&self) -> bool {
        matches!(self.space.isolation, Isolation::Database | Isolation::Cluster)
    }

    fn is_gone(&self) -> bool {
        self.findings
            .iter()
            .any(|f| matches!(f.kind, FindingKind::DatabaseMissing | FindingKind::SchemaMissing | FindingKind::Foreign))
    }

    fn say(&mut self, finding: Finding) {
        self.findings.push(finding);
    }
}

/// What all tenants of the app share, and whether its record is outdated.
async fn common(session: &Session, names: &Names, app: &AppTarget) -> Result<(Vec<Finding>, Vec<Outdated>), DataError> {
    let place = names.shared();
    let mut findings = posture::seal(session).await?;
    let database = posture::databases(session, &[names.home.as_str()]).await?;
    if let Some(entry) = database.get(names.home.as_str()) {
        findings.extend(posture::judge_database(&names.home, entry, &posture::visitors(names, &place)));
    }
    let roles = [names.login.as_str(), names.owner.as_str()];
    let postures = posture::roles(session, names, &roles).await?;
    let marks = names.mark(&Mark::Home);
    let wanted = Wanted { place: &place, group: &names.door, marks: &marks, open: true, connections: None };
    findings.extend(posture::judge_roles(&wanted, &postures));
    let mut outdated = Vec::new();
    if app.spec.fits(Isolation::Shared).is_ok() {
        let objects = objects(session, &place, &app.spec).await?;
        findings.extend(objects.findings);
        if objects.is_outdated {
            let mut present = catalog::fingerprints(session, std::slice::from_ref(&place)).await?;
            let present = present.remove(place.schema.as_str());
            outdated.extend(present.map(|fingerprint| Outdated { place, fingerprint }));
        }
    }
    Ok((findings, outdated))
}

/// Compares the registry with what is expected, in both directions.
async fn records(
    session: &Session,
    spaces: &mut BTreeMap<TenantId, Subject>,
) -> Result<Vec<(TenantId, Vec<Finding>)>, DataError> {
    let rows = session.query("SELECT tenant_id, state::text, epoch, path FROM tenantry.tenant", &[]).await?;
    let mut seen = BTreeSet::new();
    let mut unexpected = Vec::new();
    for row in &rows {
        let tenant = TenantId::from_uuid(get::<Uuid>(row, 0)?);
        seen.insert(tenant);
        let Some(subject) = spaces.get_mut(&tenant) else {
            let object = format!("tenant {tenant}");
            let finding = Finding::reported(
                FindingKind::RecordUnexpected,
                object,
                "has an entry in the registry and should not be here",
            );
            unexpected.push((tenant, vec![finding]));
            continue;
        };
        if subject.in_own_database() {
            continue;
        }
        let record = Record {
            gate: Gate::of(get(row, 1)?),
            epoch: get(row, 2)?,
            path: get(row, 3)?,
            created_by: String::new(),
            fresh: false,
        };
        let found = judge_record(&subject.space, &subject.place, Some(&record), Some(subject.gate));
        subject.findings.extend(found);
    }
    for (tenant, subject) in spaces.iter_mut().filter(|(tenant, _)| !seen.contains(*tenant)) {
        let object = format!("tenant {tenant}");
        subject.say(Finding::repairable(FindingKind::RecordMissing, object, "has no entry in the registry"));
    }
    Ok(unexpected)
}

/// Presence, mark and structure of all tenants' schemas. Gives those whose records are outdated.
async fn schemas(
    session: &Session,
    names: &Names,
    spaces: &mut BTreeMap<TenantId, Subject>,
) -> Result<Vec<Outdated>, DataError> {
    let places: Vec<Place> = spaces
        .values()
        .filter(|s| s.space.isolation == Isolation::Schema)
        .map(|subject| subject.place.clone())
        .collect();
    let mut outdated = Vec::new();
    if places.is_empty() {
        return Ok(outdated);
    }
    let wanted: Vec<&str> = places.iter().map(|place| place.schema.as_str()).collect();
    let sql = "SELECT nspname::text, obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = ANY ($1)";
    let rows = session.query(sql, &[&wanted]).await?;
    let marks: BTreeMap<String, Option<String>> =
        rows.iter().map(|row| Ok((get(row, 0)?, get(row, 1)?))).collect::<Result<_, DataError>>()?;
    let mut present = catalog::fingerprints(session, &places).await?;
    let recorded = ledger::fingerprints(session).await?;
    for subject in spaces.values_mut().filter(|subject| subject.space.isolation == Isolation::Schema) {
        let name = subject.place.schema.as_str().to_owned();
        let object = format!("schema {name}");
        match marks.get(&name) {
            None => {
                subject.say(Finding::reported(FindingKind::SchemaMissing, object, "does not exist"));
                continue;
            }
            Some(Some(mark)) if mark.starts_with(&names.tenant_mark(subject.space.tenant)) => {}
            Some(_) => {
                subject.say(Finding::reported(FindingKind::Foreign, object, "does not bear our mark"));
                continue;
            }
        }
        match (recorded.get(&name), present.remove(&name)) {
            (None, _) => {
                subject.say(Finding::reported(FindingKind::Unmigrated, object, "was never migrated to the end"));
            }
            (Some((_, recorded)), Some(fingerprint)) if fingerprint.is(recorded) => {
                if fingerprint.is_outdated(recorded) {
                    outdated.push(Outdated { place: subject.place.clone(), fingerprint });
                }
            }
            (Some(_), _) => {
                let found = objects(session, &subject.place, &subject.space.app.spec).await?;
                subject.findings.extend(found.findings);
            }
        }
    }
    Ok(outdated)
}

/// Roles and databases of all tenants that have their own.
async fn postures(session: &Session, names: &Names, spaces: &mut BTreeMap<TenantId, Subject>) -> Result<(), DataError> {
    let own: Vec<Place> =
        spaces.values().filter(|s| s.space.isolation.has_own_role()).map(|subject| subject.place.clone()).collect();
    if own.is_empty() {
        return Ok(());
    }
    let roles: Vec<&str> =
        own.iter().flat_map(|place| place.login.iter().chain([&place.owner])).map(|role| role.as_str()).collect();
    let roles: BTreeMap<String, Posture> = posture::roles(session, names, &roles).await?;
    let databases: Vec<&str> = own.iter().map(|place| place.database.as_str()).collect();
    let databases: BTreeMap<String, Entry> = posture::databases(session, &databases).await?;
    for subject in spaces.values_mut().filter(|subject| subject.space.isolation.has_own_role()) {
        let marks = names.tenant_mark(subject.space.tenant);
        let group = names.group(subject.space.isolation);
        let (open, connections) = (subject.gate == Gate::Open, subject.connections);
        let wanted = Wanted { place: &subject.place, group, marks: &marks, open, connections };
        let found = posture::judge_roles(&wanted, &roles);
        subject.findings.extend(found);
        if !subject.in_own_database() {
            continue;
        }
        let name = subject.place.database.clone();
        let object = format!("database {}", name.as_str());
        match databases.get(name.as_str()) {
            None => subject.say(Finding::reported(FindingKind::DatabaseMissing, object, "does not exist")),
            Some(entry) if !entry.mark.as_ref().is_some_and(|mark| mark.starts_with(&marks)) => {
                subject.say(Finding::reported(FindingKind::Foreign, object, "does not bear our mark"));
            }
            Some(entry) => {
                let found = posture::judge_database(&name, entry, &posture::visitors(names, &subject.place));
                subject.findings.extend(found);
            }
        }
    }
    Ok(())
}
