//! The shared level: a tenant is a row of the registry, and rows in everybody's tables.

use super::{Created, Registry, Site, forget};
use crate::error::DataError;
use crate::roles::Removal;
use crate::{claim, erase};

pub(super) async fn create(site: &Site<'_>) -> Result<Created, DataError> {
    let tx = site.cell.home_pool(&site.names).begin().await?;
    let record = claim::enroll(site.cell, &tx, site.space, site.claim, &site.place.path()).await?;
    tx.commit().await?;
    Ok(Created { fresh: record.fresh, premade: false })
}

/// The rows first, then the entry, on which they all depend.
pub(super) async fn remove(site: &Site<'_>, removal: &Removal, registry: Registry) -> Result<(), DataError> {
    if registry == Registry::Keep {
        return Ok(());
    }
    let pool = site.cell.home_pool(&site.names);
    erase::rows(site, &pool).await?;
    let tx = pool.begin().await?;
    claim::hold(site.cell, &tx, site.space.tenant, site.claim).await?;
    forget(site, &tx, removal, registry).await?;
    Ok(tx.commit().await?)
}
