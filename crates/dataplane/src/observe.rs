//! Looking at one tenant's place: is it there, in which state, and what is not as it should be.
//!
//! Reads only, but for [`glance`]. What [`crate::sweep`] does for thousands with a few queries is done here for one, in full.

use tenantry_domain::isolation::Isolation;
use tenantry_pg::{Pool, Session};

use crate::cell::Cell;
use crate::claim::{self, Record};
use crate::error::DataError;
use crate::finding::{Finding, FindingKind};
use crate::names::{Names, Place};
use crate::posture::{self, Wanted};
use crate::renew::{Outdated, renew};
use crate::space::{Gate, Space};
use crate::{ledger, protect, roles, shape};

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Whether there is anything: an entry in the registry, a schema or a database.
    pub exists: bool,
    /// How the gate stands; absent without an entry.
    pub gate: Option<Gate>,
    /// The placement's generation in the registry.
    pub epoch: Option<i64>,
    /// The app's version that the place was migrated to.
    pub version: Option<i64>,
    /// What is not as it should be. A lower version than the app's is not among them.
    pub findings: Vec<Finding>,
}

impl Cell {
    /// Looks at a tenant's place.
    ///
    /// # Errors
    /// The server refuses, or is gone.
    pub async fn observe(&self, space: &Space) -> Result<Observed, DataError> {
        let names = self.ensure_home(&space.app).await?;
        let place = names.place(space.tenant, space.isolation)?;
        let home = self.home_pool(&names);
        let tx = home.begin().await?;
        let record = claim::look(&tx, space.tenant).await?;
        let mut findings = self.outside(&tx, &names, space, &place, record.as_ref()).await?;
        let observed = match space.isolation {
            Isolation::Shared => {
                let version = inside(&tx, &place, space, &mut findings).await?;
                observed(record.is_some(), record, version, findings)
            }
            Isolation::Schema => {
                let gone = findings.iter().any(|finding| finding.kind == FindingKind::SchemaMissing);
                let version = if gone { None } else { inside(&tx, &place, space, &mut findings).await? };
                observed(!gone || record.is_some(), record, version, findings)
            }
            Isolation::Database | Isolation::Cluster => {
                if findings.iter().any(|finding| finding.kind == FindingKind::DatabaseMissing) {
                    observed(record.is_some(), None, None, findings)
                } else {
                    self.inside_database(space, &place, findings).await?
                }
            }
        };
        tx.commit().await?;
        Ok(observed)
    }

    async fn inside_database(
        &self,
        space: &Space,
        place: &Place,
        mut findings: Vec<Finding>,
    ) -> Result<Observed, DataError> {
        let tx = self.tenant_pool(&place.database).begin().await?;
        let record = claim::look(&tx, space.tenant).await?;
        findings.extend(judge_record(space, place, record.as_ref(), None));
        self.login_of(&tx, space, place, record.as_ref(), &mut findings).await?;
        let version = inside(&tx, place, space, &mut findings).await?;
        tx.commit().await?;
        Ok(observed(true, record, version, findings))
    }

    /// What can be seen from the home: entry, schema or database, roles.
    async fn outside(
        &self,
        session: &Session,
        names: &Names,
        space: &Space,
        place: &Place,
        record: Option<&Record>,
    ) -> Result<Vec<Finding>, DataError> {
        let mut findings = Vec::new();
        let marks = names.tenant_mark(space.tenant);
        if space.isolation.has_own_role() {
            let (found, object, kind) = match space.isolation {
                Isolation::Schema => {
                    let name = &place.schema;
                    let found = roles::find_schema(session, name, &marks).await;
                    (found, format!("schema {}", name.as_str()), FindingKind::SchemaMissing)
                }
                _ => {
                    let name = &place.database;
                    let found = roles::find_database(session, name, &marks).await;
                    (found, format!("database {}", name.as_str()), FindingKind::DatabaseMissing)
                }
            };
            match found {
                Ok(Some(_)) => {}
                Ok(None) => findings.push(Finding::reported(kind, object, "does not exist")),
                Err(DataError::Foreign { object }) => {
                    findings.push(Finding::reported(FindingKind::Foreign, object, "does not bear our mark"));
                }
                Err(error) => return Err(error),
            }
        }
        match space.isolation {
            Isolation::Shared | Isolation::Schema => {
                findings.extend(judge_record(space, place, record, None));
                self.login_of(session, space, place, record, &mut findings).await?;
            }
            // The entry that counts is inside.
            Isolation::Database | Isolation::Cluster if record.is_none() => {
                let object = format!("tenant {}", space.tenant);
                findings.push(Finding::repairable(
                    FindingKind::RecordMissing,
                    object,
                    "has no entry in the home's registry",
                ));
            }
            Isolation::Database | Isolation::Cluster => {}
        }
        let databases = posture::databases(session, &[place.database.as_str()]).await?;
        if let Some(entry) = databases.get(place.database.as_str()) {
            findings.extend(posture::judge_database(&place.database, entry, &posture::visitors(names, place)));
        }
        Ok(findings)
    }

    async fn login_of(
        &self,
        session: &Session,
        space: &Space,
        place: &Place,
        record: Option<&Record>,
        findings: &mut Vec<Finding>,
    ) -> Result<(), DataError> {
        let names = self.names(&space.app)?;
        let own = space.isolation.has_own_role();
        let marks = if own { names.tenant_mark(space.tenant) } else { names.mark(&crate::names::Mark::Home) };
        let open = !own || record.is_some_and(|record| record.gate == Gate::Open);
        let connections = own.then_some(space.connections);
        let group = names.group(space.isolation);
        let wanted: Vec<&str> = place.login.iter().chain([&place.owner]).map(|role| role.as_str()).collect();
        let postures = posture::roles(session, &names, &wanted).await?;
        findings.extend(posture::judge_roles(&Wanted { place, group, marks: &marks, open, connections }, &postures));
        Ok(())
    }
}

fn observed(exists: bool, record: Option<Record>, version: Option<i64>, findings: Vec<Finding>) -> Observed {
    Observed {
        exists,
        gate: record.as_ref().map(|record| record.gate),
        epoch: record.as_ref().map(|record| record.epoch),
        version,
        findings,
    }
}

/// The objects of a place, and its seal. Gives the version that the place was migrated to.
async fn inside(
    session: &Session,
    place: &Place,
    space: &Space,
    findings: &mut Vec<Finding>,
) -> Result<Option<i64>, DataError> {
    findings.extend(posture::seal(session).await?);
    let version = ledger::version(session, place).await?;
    if version.is_none() {
        let object = format!("schema {}", place.schema.as_str());
        findings.push(Finding::reported(FindingKind::Unmigrated, object, "was never migrated to the end"));
    } else {
        findings.extend(objects(session, place, &space.app.spec).await?.findings);
    }
    Ok(version)
}

/// What the guard and the recorded structure say about the objects of a place.
pub(crate) struct Objects {
    pub findings: Vec<Finding>,
    /// Whether the record holds, and an earlier release wrote it.
    pub is_outdated: bool,
}

/// Looks at the objects of a place.
pub(crate) async fn objects(
    session: &Session,
    place: &Place,
    spec: &tenantry_domain::app::Spec,
) -> Result<Objects, DataError> {
    let (catalog, deviations) = protect::inspect(session, place, spec).await?;
    let mut findings: Vec<Finding> = deviations.iter().map(protect::judge::Deviation::finding).collect();
    let mut is_outdated = false;
    if let Some(recorded) = ledger::shape(session, place).await? {
        let differences = shape::differences(&recorded, &catalog.lines, &findings);
        findings.extend(differences);
        is_outdated = catalog.is_outdated(&recorded);
    }
    Ok(Objects { findings, is_outdated })
}

/// Compares a tenant's entry with what it should be.
pub(crate) fn judge_record(space: &Space, place: &Place, record: Option<&Record>, gate: Option<Gate>) -> Vec<Finding> {
    let object = format!("tenant {}", space.tenant);
    let Some(record) = record else {
        return vec![Finding::repairable(FindingKind::RecordMissing, object, "has no entry in the registry")];
    };
    let mut found = Vec::new();
    let mut say = |kind, detail: String| found.push(Finding::repairable(kind, object.clone(), detail));
    if let Some(gate) = gate.filter(|gate| *gate != record.gate) {
        say(FindingKind::GateDiffers, format!("is {}, not {}", record.gate.as_str(), gate.as_str()));
    }
    if record.epoch != space.epoch {
        say(FindingKind::EpochDiffers, format!("is at generation {}, not {}", record.epoch, space.epoch));
    }
    if record.path != place.path() {
        say(FindingKind::PathDiffers, format!("leads to {}, not {}", record.path, place.path()));
    }
    found
}

/// A look into a tenant's database for the sweep: its entry, and its objects if they changed. A record of an earlier release
/// is replaced if it holds.
pub(crate) async fn glance(pool: &Pool, space: &Space, place: &Place, gate: Gate) -> Result<Vec<Finding>, DataError> {
    let tx = pool.begin().await?;
    let record = claim::look(&tx, space.tenant).await?;
    let mut findings = judge_record(space, place, record.as_ref(), Some(gate));
    findings.extend(posture::seal(&tx).await?);
    let mut present = crate::catalog::fingerprints(&tx, std::slice::from_ref(place)).await?;
    let recorded = ledger::fingerprints(&tx).await?;
    let (present, recorded) = (present.remove(place.schema.as_str()), recorded.get(place.schema.as_str()));
    match (recorded, present) {
        (None, _) => {
            let object = format!("schema {}", place.schema.as_str());
            findings.push(Finding::reported(FindingKind::Unmigrated, object, "was never migrated to the end"));
        }
        (Some((_, recorded)), Some(fingerprint)) if fingerprint.is(recorded) => {
            if fingerprint.is_outdated(recorded) {
                renew(&tx, &[Outdated { place: place.clone(), fingerprint }]).await?;
            }
        }
        (Some(_), _) => findings.extend(objects(&tx, place, &space.app.spec).await?.findings),
    }
    tx.commit().await?;
    Ok(findings)
}
