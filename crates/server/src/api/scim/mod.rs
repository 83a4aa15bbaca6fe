//! SCIM 2.0 below `/scim/v2`: for a customer's directory (Entra ID, Okta) with an API key of the tenant.
//!
//! The doors are those of all routes: token, rates, rights, record of attempts, bounds. What differs is the protocol's:
//! media type, shape and statuses of errors ([`refused`]), parameters that nobody knows are passed over. How a tenant's
//! admins set the directory up is in [`directory`], below `/v1` and in our own words.

mod body;
mod directory;
mod discovery;
mod groups;
pub(crate) mod refused;
mod search;
mod users;

use axum::Json;
use axum::extract::{FromRequestParts, Query};
use axum::http::header::{CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH, LOCATION};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::Value;
use tenantry_control::scim::{self, Listed, Place, Resource};
use tenantry_control::tenants::{Expected, TenantRef};
use tenantry_domain::member::scim::{Filter, Kind, MOST_PER_PAGE, PER_PAGE, Projection, ScimError, show};
use tenantry_domain::name::EnvironmentName;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use uuid::Uuid;

use crate::State;
use crate::extract::path_value;
use crate::problem::Failure;
use body::ScimBody;
use refused::{Refused, Result};

/// The protocol's media type.
const MEDIA: &str = "application/scim+json";

/// The routes.
pub fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .merge(discovery::routes())
        .merge(users::routes())
        .merge(groups::routes())
        .merge(search::routes())
        .merge(directory::routes())
}

/// `{id}` of the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "for the documentation; extractors read the path")]
struct OfResource {
    /// The resource's id.
    #[param(example = "019300a0-5b1c-7d60-9a3e-0d2f4c6b8a90")]
    id: String,
}

/// `{id}` of the path as it is written.
#[derive(Debug)]
struct IdPath(String);

impl IdPath {
    /// As the id of a user or group; what is no id is nobody's.
    fn of(&self, kind: Kind) -> Result<Uuid> {
        let id = Uuid::try_parse(&self.0);
        let shown = || self.0.chars().filter(char::is_ascii_graphic).take(64).collect();
        id.map_err(|_| ScimError::Absent { kind: kind.as_str(), id: shown() }.into())
    }
}

impl FromRequestParts<State> for IdPath {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &State) -> crate::problem::Result<Self> {
        path_value(parts, state, "id").await.map(Self)
    }
}

/// What a list may be asked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "for the documentation; the extractor reads the query")]
struct ListParams {
    /// Only resources of which this holds (RFC 7644, section 3.4.2.2).
    #[param(nullable = false, max_length = 2048, example = "userName eq \"anna@acme.example\"")]
    filter: Option<String>,
    /// The first resource, from 1.
    #[param(nullable = false, value_type = Option<u64>, example = 1)]
    start_index: Option<String>,
    /// Most resources of the page; 100 unless given, 500 at most.
    #[param(nullable = false, value_type = Option<u64>, example = 100)]
    count: Option<String>,
    /// Only these attributes, separated by commas.
    #[param(nullable = false, max_length = 2048)]
    attributes: Option<String>,
    /// All but these attributes, separated by commas.
    #[param(nullable = false, max_length = 2048)]
    excluded_attributes: Option<String>,
}

/// What a single resource may be asked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "for the documentation; the extractor reads the query")]
struct ShowParams {
    /// Only these attributes, separated by commas.
    #[param(nullable = false, max_length = 2048)]
    attributes: Option<String>,
    /// All but these attributes, separated by commas.
    #[param(nullable = false, max_length = 2048)]
    excluded_attributes: Option<String>,
}

/// The version that a change builds on.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "for the documentation; the extractor reads the header")]
struct Precondition {
    /// The ETag of the version that was read, `meta.version`.
    #[serde(rename = "If-Match")]
    #[param(nullable = false, example = "W/\"3\"")]
    if_match: Option<String>,
}

/// Query and headers of a request. Parameters that nobody knows are passed over: directories send some of their own.
#[derive(Debug)]
struct Asked {
    filter: Option<String>,
    start: u64,
    count: usize,
    projection: Projection,
    headers: HeaderMap,
}

impl FromRequestParts<State> for Asked {
    type Rejection = Refused;
    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self> {
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
        let Query(pairs) = pairs.map_err(|_| ScimError::Syntax("is fine, but the query cannot be read"))?;
        let text = |name: &str| pairs.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
        let number = |name: &'static str, absent: i64| match text(name) {
            None => Ok(absent),
            Some(text) => text
                .trim()
                .parse::<i64>()
                .map_err(|_| ScimError::Value { field: name.to_owned(), problem: "must be a whole number" }),
        };
        // Numbers that are too small stand for the smallest (RFC 7644, section 3.4.2.4).
        let start = u64::try_from(number("startIndex", 1)?).unwrap_or(1).max(1);
        let count = usize::try_from(number("count", i64::try_from(PER_PAGE).unwrap_or(1))?).unwrap_or(0);
        Ok(Self {
            filter: text("filter").map(ToOwned::to_owned),
            start,
            count: count.min(MOST_PER_PAGE),
            projection: Projection::parse(text("attributes"), text("excludedAttributes"))?,
            headers: parts.headers.clone(),
        })
    }
}

/// The message's name.
const SEARCH: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";

impl Asked {
    /// What a search asks for (RFC 7644, section 3.4.3).
    fn in_body(body: &Value) -> Result<Self> {
        let is_ours = |name: &Value| name.as_str().is_some_and(|name| name.eq_ignore_ascii_case(SEARCH));
        if !body.get("schemas").and_then(Value::as_array).is_some_and(|all| all.iter().any(is_ours)) {
            let problem = "needs `schemas` with urn:ietf:params:scim:api:messages:2.0:SearchRequest";
            return Err(ScimError::Syntax(problem).into());
        }
        let wrong = |field: &str, problem| Refused::from(ScimError::Value { field: field.to_owned(), problem });
        let number = |name: &str, absent: i64| match body.get(name) {
            None | Some(Value::Null) => Ok(absent),
            Some(value) => value.as_i64().ok_or_else(|| wrong(name, "must be a whole number")),
        };
        let names = |name: &str| match body.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(all)) => {
                let all: Option<Vec<&str>> = all.iter().map(Value::as_str).collect();
                all.map(|all| Some(all.join(","))).ok_or_else(|| wrong(name, "must be a list of texts"))
            }
            Some(_) => Err(wrong(name, "must be a list of texts")),
        };
        let filter = match body.get("filter") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(_) => return Err(wrong("filter", "must be a text")),
        };
        let count = number("count", i64::try_from(PER_PAGE).unwrap_or(1))?;
        let (only, except) = (names("attributes")?, names("excludedAttributes")?);
        Ok(Self {
            filter,
            start: u64::try_from(number("startIndex", 1)?).unwrap_or(1).max(1),
            count: usize::try_from(count).unwrap_or(0).min(MOST_PER_PAGE),
            projection: Projection::parse(only.as_deref(), except.as_deref())?,
            headers: HeaderMap::new(),
        })
    }

    fn query(&self, kind: Kind) -> Result<scim::Query> {
        let filter = self.filter.as_deref().map(|text| Filter::parse(text, kind)).transpose()?;
        let (with_members, with_groups) = (self.projection.shows("members"), self.projection.shows("groups"));
        Ok(scim::Query { filter, start: self.start, count: self.count, with_members, with_groups })
    }

    /// The version that a change builds on; any, when none is named.
    fn expected(&self) -> Result<Expected> {
        let mut given = self.headers.get_all(IF_MATCH).iter();
        let Some(header) = given.next() else { return Ok(Expected::Any) };
        let text = header.to_str().unwrap_or_default().trim();
        if text == "*" {
            return Ok(Expected::Any);
        }
        let digits = text.strip_prefix("W/").unwrap_or(text).trim_matches('"');
        let is_number = !digits.is_empty() && digits.len() <= 18 && digits.bytes().all(|b| b.is_ascii_digit());
        let version = digits.parse().ok().filter(|_| is_number && given.next().is_none());
        let problem = "must be one ETag as it was given, such as W/\"3\", or *";
        Ok(Expected::Version(version.ok_or(ScimError::Value { field: "If-Match".to_owned(), problem })?))
    }

    /// Whether the client has this version already.
    fn knows(&self, version: i64) -> bool {
        let known = self.headers.get_all(IF_NONE_MATCH).iter().filter_map(|header| header.to_str().ok());
        let plain = version.to_string();
        known
            .flat_map(|list| list.split(','))
            .map(str::trim)
            .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"') == plain)
    }

    /// A resource as an answer.
    fn answer(&self, kind: Kind, resource: Resource, status: StatusCode) -> Response {
        let location = resource.document.pointer("/meta/location").and_then(Value::as_str).map(ToOwned::to_owned);
        let mut response = document(status, &self.projection.apply(kind, resource.document));
        let headers = response.headers_mut();
        set(headers, ETAG, &show::etag(resource.version));
        if let Some(location) = location.filter(|_| status == StatusCode::CREATED) {
            set(headers, LOCATION, &location);
        }
        response
    }

    fn list(&self, kind: Kind, found: Listed) -> Response {
        let shown: Vec<Value> = found.resources.into_iter().map(|one| self.projection.apply(kind, one)).collect();
        document(StatusCode::OK, &show::list(found.total, self.start, &shown))
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

fn document(status: StatusCode, document: &Value) -> Response {
    let mut response = (status, Json(document)).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA));
    response
}

/// An answer without a body, with the version that the resource has now.
fn bare(version: Option<i64>) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Some(version) = version {
        set(response.headers_mut(), ETAG, &show::etag(version));
    }
    response
}

/// What the addresses of a tenant's resources begin with. Relative, because the name under which we are reached is the
/// client's to know.
fn base(environment: &EnvironmentName, tenant: &TenantRef) -> String {
    format!("/scim/v2/environments/{environment}/tenants/{tenant}")
}

const fn place<'a>(tenant: &'a TenantRef, base: &'a str) -> Place<'a> {
    Place { tenant, base }
}
