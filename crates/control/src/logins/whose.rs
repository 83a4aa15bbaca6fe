//! Whose a wanted login is to be, by ids: what its caller named must exist and belong together.

use tenantry_domain::code::FieldError;
use tenantry_domain::gateway::{Allowed, Whose};
use tenantry_domain::id::TenantId;
use tenantry_domain::name::AppName;
use tenantry_domain::tenant::Slug;
use tenantry_domain::tenant::lifecycle::Phase;
use tenantry_store::{CatalogKind, TenantKey, TenantRow};

use super::WantedWhose;
use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::tenants::edit::{TenantRef, refuse_store, require};

/// Whose a login is by ids, and the tenant's row if it is one tenant's.
pub(super) async fn settle(cx: &Ctx, deps: &Deps, whose: &WantedWhose) -> Result<(Whose, Option<TenantRow>), Refusal> {
    match whose {
        WantedWhose::Tenant(tenant) => {
            let row = require(cx, deps, tenant).await?;
            if row.state.phase() == Phase::Deleted {
                return Err(Refusal::NoTenant(tenant.to_string()));
            }
            Ok((Whose::Tenant(row.id), Some(row)))
        }
        WantedWhose::Service { app, only } => {
            let found = deps.store().read(&cx.environment).catalog(CatalogKind::App, app.as_str()).await;
            if found.map_err(refuse_store)?.is_none() {
                let (kind, name) = (CatalogKind::App.as_str(), app.to_string());
                return Err(Refusal::Reference { kind, name, field: "app".to_owned() });
            }
            let tenants = match only {
                None => Allowed::All,
                Some(only) => Allowed::These(allowed(cx, deps, app, only).await?),
            };
            Ok((Whose::Service { app: app.clone(), tenants }, None))
        }
    }
}

/// The ids of an allow-list, each once. Every name that does not lead to a tenant of the app is a complaint.
async fn allowed(cx: &Ctx, deps: &Deps, app: &AppName, only: &[TenantRef]) -> Result<Vec<TenantId>, Refusal> {
    // The list's length is bounded by whoever read it; this bounds the statements, too.
    let only = only.get(..=Allowed::MOST).unwrap_or(only);
    let reader = deps.store().read(&cx.environment);
    let slugs: Vec<Slug> = only.iter().filter_map(slug_of).cloned().collect();
    let mut ids = reader.tenant_ids_by_slug(&slugs).await.map_err(refuse_store)?;
    ids.extend(only.iter().filter_map(|tenant| match tenant {
        TenantRef::Id(id) => Some(*id),
        TenantRef::Slug(_) => None,
    }));
    let rows = reader.tenants_by_id(&ids).await.map_err(refuse_store)?;
    let living: Vec<&TenantRow> = rows.iter().filter(|row| row.state.phase() != Phase::Deleted).collect();
    let mut wrong = Vec::new();
    let mut found = Vec::new();
    for (index, tenant) in only.iter().enumerate() {
        let row = living.iter().find(|row| match tenant.key() {
            TenantKey::Id(id) => row.id == id,
            TenantKey::Slug(slug) => row.slug == slug,
            _ => false,
        });
        let complaint = match row {
            None => format!("there is no tenant `{tenant}`"),
            Some(row) if row.spec.app != *app => format!("tenant `{tenant}` is of app `{}`", row.spec.app),
            Some(row) if found.contains(&row.id) => format!("tenant `{tenant}` is named twice"),
            Some(row) => {
                found.push(row.id);
                continue;
            }
        };
        wrong.push(FieldError::new(format!("only[{index}]"), complaint));
    }
    if wrong.is_empty() { Ok(found) } else { Err(Refusal::Request(wrong)) }
}

fn slug_of(tenant: &TenantRef) -> Option<&Slug> {
    match tenant {
        TenantRef::Slug(slug) => Some(slug),
        TenantRef::Id(_) => None,
    }
}
