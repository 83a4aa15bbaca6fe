//! Plans, regions, cells, apps and meters. They are written by applying manifests; here they are read and taken away.

use axum::Json;
use axum::extract::State as With;
use axum::http::StatusCode;
use serde_json::Value;
use tenantry_api::v1::Page;
// `Object` means "anything" to the documentation's macros, hence the other name here.
use tenantry_api::v1::catalog::{AppSpec, CellSpec, Object as Declared, PlanSpec, RegionSpec};
use tenantry_api::v1::usage::MeterSpec;
use tenantry_api::v1::version::Version;
use tenantry_control::catalog::{self, CatalogKind, manifest_word};
use tenantry_domain::code::Code;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::history::Nothing;
use super::{InEnvironment, OfName, OfVersion, OptionalKey, Precondition, answer};
use crate::State;
use crate::convert;
use crate::extract::{Call, IfMatch, NamePath, PageParams, Params, VersionPath};
use crate::problem::{Failure, Result};

/// The routes.
pub fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .merge(plans::routes())
        .merge(regions::routes())
        .merge(cells::routes())
        .merge(apps::routes())
        .merge(meters::routes())
}

/// Catalogs are small and come as a whole; pages are cut here. A token is the last name that was shown.
async fn list(state: &State, call: Call, kind: CatalogKind, page: &PageParams) -> Result<Json<Page<Declared<Value>>>> {
    let size = usize::from(page.size()?.get());
    let behind = match page.page_token.as_deref().map(|token| token.strip_prefix("after.")) {
        None => None,
        Some(Some(name)) if tenantry_domain::name::check_label(name, 1, 50).is_ok() => Some(name),
        Some(_) => return Err(Failure::field(Code::InvalidCursor, "pageToken", "is not one of this list")),
    };
    let cx = call.read();
    let mut objects = catalog::list(&cx, state.deps(), kind).await?;
    objects.retain(|object| behind.is_none_or(|behind| object.name.as_str() > behind));
    let is_last = objects.len() <= size;
    objects.truncate(size);
    let next = objects.last().filter(|_| !is_last).map(|object| format!("after.{}", object.name));
    let items = objects.into_iter().map(|object| convert::catalog::object(object, &cx.environment)).collect();
    Ok(Json(Page { items, next_page_token: next }))
}

async fn get(state: &State, call: Call, kind: CatalogKind, name: &str) -> Result {
    let cx = call.read();
    let object = catalog::get(&cx, state.deps(), kind, name).await?;
    let version = object.version;
    Ok(answer::versioned(&convert::catalog::object(object, &cx.environment), version))
}

async fn version(state: &State, call: Call, kind: CatalogKind, name: &str, number: i64) -> Result<Json<Version>> {
    let cx = call.read();
    // A version of something that is not there is told as that.
    catalog::get(&cx, state.deps(), kind, name).await?;
    let found = catalog::version(&cx, state.deps(), kind, name, number).await?;
    Ok(Json(convert::version::object(manifest_word(kind), found)))
}

/// Newest first; a token is the number below which the page begins.
async fn versions(
    state: &State,
    call: Call,
    kind: CatalogKind,
    name: &str,
    page: &PageParams,
) -> Result<Json<Page<Version>>> {
    let size = i64::from(page.size()?.get());
    let below =
        page.page_token.as_deref().map(|token| token.strip_prefix("below.").and_then(|text| text.parse::<i64>().ok()));
    let below = match below {
        None => None,
        Some(Some(below)) if below >= 1 => Some(below),
        Some(_) => return Err(Failure::field(Code::InvalidCursor, "pageToken", "is not one of this list")),
    };
    let below = below.unwrap_or(i64::MAX);
    let mut found = catalog::versions(&call.read(), state.deps(), kind, name, below, size + 1).await?;
    let has_more = i64::try_from(found.len()).is_ok_and(|count| count > size);
    found.truncate(usize::try_from(size).unwrap_or(usize::MAX));
    let last = found.last().filter(|_| has_more).map(|version| format!("below.{}", version.version));
    let items = found.into_iter().map(|version| convert::version::object(manifest_word(kind), version)).collect();
    Ok(Json(Page { items, next_page_token: last }))
}

async fn delete(state: &State, call: Call, kind: CatalogKind, name: &str, expected: IfMatch) -> Result<StatusCode> {
    catalog::delete(&call.write(&Value::Null), state.deps(), kind, name, expected.0).await?;
    Ok(StatusCode::NO_CONTENT)
}

macro_rules! kinds {
    ($($module:ident, $kind:ident, $spec:ident, $path:literal, $one:literal, $ids:tt;)*) => {$(
        mod $module {
            use super::*;

            pub(super) fn routes() -> OpenApiRouter<State> {
                OpenApiRouter::new()
                    .routes(routes!(list))
                    .routes(routes!(get, delete))
                    .routes(routes!(versions))
                    .routes(routes!(version))
            }

            kinds!(@handlers $kind, $spec, $path, $one, $ids);
        }
    )*};
    (@handlers $kind:ident, $spec:ident, $path:literal, $one:literal, [$list:literal, $get:literal, $delete:literal, $versions:literal, $version:literal]) => {
        #[doc = concat!("List ", $one, "s")]
        ///
        /// By name.
        #[utoipa::path(
            get, path = concat!("/v1/environments/{environment}/", $path), summary = concat!("List ", $one, "s"), tag = "catalog", operation_id = $list,
            params(InEnvironment, PageParams),
            responses((status = 200, description = "A page of objects.", body = Page<Declared<$spec>>)),
        )]
        async fn list(With(state): With<State>, call: Call, Params(page): Params<PageParams>) -> Result<Json<Page<Declared<Value>>>> {
            super::list(&state, call, CatalogKind::$kind, &page).await
        }

        #[doc = concat!("Read a ", $one)]
        #[utoipa::path(
            get, path = concat!("/v1/environments/{environment}/", $path, "/{name}"), summary = concat!("Read a ", $one), tag = "catalog", operation_id = $get,
            params(InEnvironment, OfName),
            responses((status = 200, description = "The object.", body = Declared<$spec>)),
        )]
        async fn get(With(state): With<State>, call: Call, NamePath(name): NamePath, _: Params<Nothing>) -> Result {
            super::get(&state, call, CatalogKind::$kind, &name).await
        }

        #[doc = concat!("Remove a ", $one)]
        ///
        /// Only one that nothing uses. Its history stays.
        #[utoipa::path(
            delete, path = concat!("/v1/environments/{environment}/", $path, "/{name}"), summary = concat!("Remove a ", $one), tag = "catalog", operation_id = $delete,
            params(InEnvironment, OfName, Precondition, OptionalKey),
            responses((status = 204, description = "It is gone.")),
        )]
        async fn delete(With(state): With<State>, call: Call, NamePath(name): NamePath, expected: IfMatch, _: Params<Nothing>) -> Result<StatusCode> {
            super::delete(&state, call, CatalogKind::$kind, &name, expected).await
        }

        #[doc = concat!("List the versions of a ", $one)]
        ///
        /// Newest first; the version that removed the object has an empty spec.
        #[utoipa::path(
            get, path = concat!("/v1/environments/{environment}/", $path, "/{name}/versions"), summary = concat!("List the versions of a ", $one), tag = "history", operation_id = $versions,
            params(InEnvironment, OfName, PageParams),
            responses((status = 200, description = "A page of versions.", body = Page<Version>)),
        )]
        async fn versions(With(state): With<State>, call: Call, NamePath(name): NamePath, Params(page): Params<PageParams>) -> Result<Json<Page<Version>>> {
            super::versions(&state, call, CatalogKind::$kind, &name, &page).await
        }

        #[doc = concat!("Read a version of a ", $one)]
        #[utoipa::path(
            get, path = concat!("/v1/environments/{environment}/", $path, "/{name}/versions/{version}"), summary = concat!("Read a version of a ", $one), tag = "history", operation_id = $version,
            params(InEnvironment, OfName, OfVersion),
            responses((status = 200, description = "The version.", body = Version)),
        )]
        async fn version(With(state): With<State>, call: Call, NamePath(name): NamePath, VersionPath(number): VersionPath, _: Params<Nothing>) -> Result<Json<Version>> {
            super::version(&state, call, CatalogKind::$kind, &name, number).await
        }
    };
}

kinds! {
    plans, Plan, PlanSpec, "plans", "plan", ["listPlans", "getPlan", "deletePlan", "listPlanVersions", "getPlanVersion"];
    regions, Region, RegionSpec, "regions", "region", ["listRegions", "getRegion", "deleteRegion", "listRegionVersions", "getRegionVersion"];
    cells, Cell, CellSpec, "cells", "cell", ["listCells", "getCell", "deleteCell", "listCellVersions", "getCellVersion"];
    apps, App, AppSpec, "apps", "app", ["listApps", "getApp", "deleteApp", "listAppVersions", "getAppVersion"];
    meters, Meter, MeterSpec, "meters", "meter", ["listMeters", "getMeter", "deleteMeter", "listMeterVersions", "getMeterVersion"];
}
