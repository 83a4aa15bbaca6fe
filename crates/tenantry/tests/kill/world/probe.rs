//! Knocking at a tenant's door as its users do: through the sealed context, with the login of the place.

use std::sync::Arc;

use secrecy::SecretString;
use tenantry_dataplane::router::{Router, RouterOptions};
use tenantry_dataplane::{AppTarget, Cell, CellTarget, Dataplane, Options, Space, TenantTxError};
use tenantry_domain::app::{self, Migrations};
use tenantry_domain::id::InstallationId;
use tenantry_domain::isolation::Isolation;
use tenantry_domain::name::{AppName, CellName, EnvironmentName};

use super::look::Tenant;
use super::{APP, World};

/// What a user of a tenant meets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Met {
    /// Let in; the number of the tenant's books.
    Books(i64),
    /// The tenant is not served.
    Refused,
    /// Something else.
    Trouble(String),
}

/// A cell as seen from outside the processes.
pub struct Prober {
    cell: Arc<Cell>,
    app: Arc<AppTarget>,
}

impl World {
    /// Prepares to knock.
    pub async fn prober(&self) -> Prober {
        let row = self.control.query_one("SELECT id FROM tenantry.installation", &[]).await.unwrap();
        let plane = Dataplane::new(InstallationId::from_uuid(row.get(0)), self.key.clone(), Options::default());
        let environment = EnvironmentName::parse("prod").unwrap();
        let target = CellTarget {
            environment: environment.clone(),
            name: CellName::parse("north-1").unwrap(),
            url: SecretString::from(self.pg.url("postgres")),
        };
        let spec = app::Spec {
            migrations: Migrations::Files { files: Vec::new() },
            tenant_key: Some("tenant_id".to_owned()),
            reference_tables: Vec::new(),
            rollout: tenantry_domain::rollout::Strategy::default(),
        };
        let app = AppTarget { environment, app: AppName::parse(APP).unwrap(), version: 1, spec: Arc::new(spec) };
        Prober { cell: plane.cell(&target).await.unwrap(), app: Arc::new(app) }
    }
}

impl Prober {
    /// Enters the tenant's place and reads, with connections of its own that end with the call.
    pub async fn knock(&self, tenant: &Tenant, level: Isolation) -> Met {
        let space = Space {
            tenant: tenant.typed(),
            app: Arc::clone(&self.app),
            isolation: level,
            epoch: tenant.generation,
            connections: None,
        };
        let door = self.cell.door(&space).unwrap();
        let router = Router::new(RouterOptions { shared: 1, own: 1, ..RouterOptions::default() });
        let met = match router.enter(&door).await {
            Ok(tx) => match tx.query_one("SELECT count(*) FROM books", &[]).await {
                Ok(row) => Met::Books(row.get(0)),
                Err(error) => Met::Trouble(error.to_string()),
            },
            Err(TenantTxError::Suspended) => Met::Refused,
            // A login of the tenant's own is shut out by the server itself.
            Err(TenantTxError::Refused(error)) if error.sqlstate() == Some("28000") => Met::Refused,
            Err(error) => Met::Trouble(format!("{error:?}")),
        };
        router.close();
        met
    }
}
