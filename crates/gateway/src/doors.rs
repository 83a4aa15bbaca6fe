//! How a tenant is reached: server, database, login and the seal's key, from its route.

use std::sync::Arc;

use secrecy::SecretString;
use tenantry_dataplane::{CellTarget, Dataplane, Door};
use tenantry_domain::cell::SecretRef;
use tenantry_pg::Target;

use crate::session::Refused;
use crate::table::{Route, Table};

/// Finds the URL of a cell in this process.
pub type Secrets = Arc<dyn Fn(&SecretRef) -> Option<SecretString> + Send + Sync>;

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Doors {
    dataplane: Dataplane,
    secrets: Secrets,
}

impl Doors {
    /// With the keys of an installation. Of a cell's URL, host, port and encryption are used; its login is not.
    #[must_use]
    pub const fn new(dataplane: Dataplane, secrets: Secrets) -> Self {
        Self { dataplane, secrets }
    }

    /// The door of a tenant.
    ///
    /// # Errors
    /// It has no place, or its cell is not known here.
    pub async fn door(&self, table: &Table, route: &Route) -> Result<Door, Refused> {
        let nowhere = |why: &'static str| {
            tracing::error!(tenant = %route.tenant, why, "a tenant cannot be reached");
            Refused::new("57P03", "the tenant cannot be reached from this gateway")
                .hint("Its operator finds the reason in the log.")
        };
        let place = route.place.as_ref().ok_or_else(|| Refused::new("57P03", "the tenant has no place yet"))?;
        let cell = table.cell(&route.environment, &place.cell).ok_or_else(|| nowhere("its cell is not known"))?;
        let url = (self.secrets)(&cell.database).ok_or_else(|| nowhere("the URL of its cell is not set"))?;
        let target = CellTarget { environment: route.environment.clone(), name: place.cell.clone(), url };
        let cell = self.dataplane.cell(&target).await.map_err(|_| nowhere("the URL of its cell cannot be read"))?;
        let door = cell.door_to(&route.app, route.tenant, place.isolation, place.epoch, route.connections);
        door.map_err(|_| nowhere("its names cannot be made"))
    }

    /// The same door on each standby of the tenant's cell. One whose URL cannot be used here is left out.
    #[must_use]
    pub fn standbys(&self, table: &Table, route: &Route, primary: &Door) -> Vec<Door> {
        let place = route.place.as_ref();
        let Some(cell) = place.and_then(|place| table.cell(&route.environment, &place.cell)) else { return Vec::new() };
        let door = |place: &SecretRef| {
            let url = (self.secrets)(place);
            let target = url.as_ref().and_then(|url| Target::parse(url).ok());
            if target.is_none() {
                tracing::error!(cell = %cell.name, "the URL of a standby is not set, or cannot be read");
            }
            // Names and passwords are those of the primary: a standby is its copy.
            let target = target?.with_database(primary.target.database());
            let target = target.with_user(primary.target.user(), primary.target.password()?);
            Some(Door { target, is_standby: true, ..primary.clone() })
        };
        cell.standbys.iter().filter_map(door).collect()
    }
}
