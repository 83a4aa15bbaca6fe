//! Query parameters: known ones only, each once, lists apart.
//!
//! A route's parameters are one struct, from which the documentation and the check both take the names.

use std::time::Duration;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tenantry_api::parse::Report;
use tenantry_api::problem::Rejection;
use tenantry_domain::code::Code;
use tenantry_domain::page::PageSize;
use utoipa::openapi::RefOr;
use utoipa::openapi::path::ParameterIn;
use utoipa::openapi::schema::{Schema, SchemaType, Type};
use utoipa::{IntoParams, openapi};

use crate::State;
use crate::middleware::time::LONGEST_WAIT;
use crate::problem::{Failure, Result};

/// The parameters of a route.
#[derive(Debug)]
pub struct Params<T>(pub T);

impl<T: IntoParams + DeserializeOwned + Send> FromRequestParts<State> for Params<T> {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self> {
        read(&parts.uri).map(Self)
    }
}

fn read<T: IntoParams + DeserializeOwned>(uri: &axum::http::Uri) -> Result<T> {
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|_| Failure::new(Code::MalformedRequest, "the query cannot be read"))?;
    let known = T::into_params(|| Some(ParameterIn::Query));
    let report = Report::new();
    let mut members = Map::new();
    for (name, value) in pairs {
        let shown = tenantry_api::parse::read::shorten(&name);
        let Some(parameter) = known.iter().find(|parameter| parameter.name == name) else {
            let names: Vec<&str> = known.iter().map(|parameter| parameter.name.as_str()).collect();
            let known = if names.is_empty() {
                "the route takes none".to_owned()
            } else {
                format!("known are {}", names.join(", "))
            };
            report.add(shown, format_args!("is not a known parameter; {known}"));
            continue;
        };
        if value.contains('\0') {
            report.add(shown, "must not hold the character U+0000");
        } else if is_list(parameter) {
            let list = members.entry(name).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(items) = list {
                items.push(Value::String(value));
            }
        } else if members.insert(name, Value::String(value)).is_some() {
            report.add(shown, "is given twice");
        }
    }
    for parameter in known.iter().filter(|parameter| parameter.required == openapi::Required::True) {
        if !members.contains_key(&parameter.name) {
            report.add(parameter.name.as_str(), "is required");
        }
    }
    if !report.is_clean() {
        return Err(Rejection::fields(Code::InvalidParameter, report.into_complaints()).into());
    }
    serde_json::from_value(Value::Object(members))
        .map_err(|_| Failure::new(Code::InvalidParameter, "the parameters cannot be read"))
}

fn is_list(parameter: &openapi::path::Parameter) -> bool {
    let array = SchemaType::Type(Type::Array);
    match &parameter.schema {
        Some(RefOr::T(Schema::Array(schema))) => {
            schema.schema_type == array
                || matches!(&schema.schema_type, SchemaType::Array(types) if types.contains(&Type::Array))
        }
        _ => false,
    }
}

/// Parameters of every list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
pub struct PageParams {
    /// Items per page, 1 to 200; 50 unless given.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, example = 50)]
    pub page_size: Option<String>,
    /// `nextPageToken` of the page before. Opaque; good for the same query of the same caller, for a day.
    pub page_token: Option<String>,
}

impl PageParams {
    /// The size.
    ///
    /// # Errors
    /// It is no number, or out of bounds.
    pub fn size(&self) -> Result<PageSize> {
        page_size(self.page_size.as_deref())
    }
}

/// Reads a page size.
///
/// # Errors
/// It is no number, or out of bounds.
pub fn page_size(text: Option<&str>) -> Result<PageSize> {
    let Some(text) = text else { return Ok(PageSize::default()) };
    let wrong = |message: &str| Failure::field(Code::InvalidParameter, "pageSize", message);
    let number = text.parse::<u16>().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
    let number = number.ok_or_else(|| wrong("must be a whole number between 1 and 200"))?;
    PageSize::new(number).map_err(|error| wrong(&error.to_string()))
}

/// The parameter of every mutation.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
pub struct WaitParams {
    /// Wait for the operation's end before answering, `1s` to `30s`. The answer is 200 when it ended in time, else 202.
    #[param(example = "30s")]
    pub wait: Option<String>,
}

impl WaitParams {
    /// How long to wait, if at all.
    ///
    /// # Errors
    /// It is no span, or out of bounds.
    pub fn span(&self) -> Result<Option<Duration>> {
        wait(self.wait.as_deref())
    }
}

/// Reads a span to wait.
///
/// # Errors
/// It is no span, or out of bounds.
pub fn wait(text: Option<&str>) -> Result<Option<Duration>> {
    let Some(text) = text else { return Ok(None) };
    let wrong = |message: String| Failure::field(Code::InvalidParameter, "wait", message);
    let span = tenantry_api::parse::parse_duration(text).map_err(wrong)?;
    match Duration::try_from(span) {
        Ok(span) if !span.is_zero() && span <= LONGEST_WAIT => Ok(Some(span)),
        _ => Err(wrong(format!("must be between 1s and {}s", LONGEST_WAIT.as_secs()))),
    }
}
