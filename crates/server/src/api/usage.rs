//! Usage: events of the operator's product that count, and reports of them.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request, State as With};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use tenantry_api::parse::parse_time;
use tenantry_api::parse::usage as parse;
use tenantry_api::v1::usage::{UsageAnswer, UsageEvent, UsageRanking, UsageReport};
use tenantry_control::usage::{self, Asked};
use tenantry_domain::code::Code;
use tenantry_domain::usage::{Field, Window};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::history::Nothing;
use super::{InEnvironment, OfTenant};
use crate::State;
use crate::convert::usage as show;
use crate::extract::{Call, Params, TenantPath, bytes, media_type};
use crate::problem::{Failure, Result};

/// The routes.
pub fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(ingest, ranking)).routes(routes!(report))
}

/// Most bytes of a batch.
const MOST_BYTES: usize = 1 << 20;

const BATCH: &str = "application/cloudevents-batch+json";
const SINGLE: &str = "application/cloudevents+json";

/// A batch of events, or one.
#[derive(Debug)]
struct Events {
    bytes: Bytes,
    is_batch: bool,
}

impl FromRequest<State> for Events {
    type Rejection = Failure;
    async fn from_request(request: Request, _: &State) -> Result<Self> {
        let is_batch = media_type(request.headers(), &[BATCH, SINGLE])? == BATCH;
        Ok(Self { bytes: bytes(request, MOST_BYTES).await?, is_batch })
    }
}

/// Count usage events
///
/// CloudEvents 1.0 in JSON: a batch of at most 1,000 events and 1 MiB, or one event as `application/cloudevents+json`. An event
/// is known by its tenant, source and id and counts once, however often it is sent within 35 days of its time. Each event is
/// judged by itself: 200 when all are counted, 207 when some were refused and the others counted. What is answered is in reports
/// at once. After an error, or no answer at all, send the same again.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/usage", tag = "usage", operation_id = "ingestUsage",
    params(InEnvironment),
    request_body(
        content((Vec<UsageEvent> = "application/cloudevents-batch+json"), (UsageEvent = "application/cloudevents+json")),
    ),
    responses(
        (status = 200, description = "All are counted.", body = UsageAnswer),
        (status = 207, description = "Some were refused; the others are counted.", body = UsageAnswer),
    ),
)]
async fn ingest(With(state): With<State>, call: Call, _: Params<Nothing>, events: Events) -> Result<Response> {
    let cx = call.read();
    if events.is_batch {
        let counted = usage::ingest(&cx, state.deps(), parse::events(&events.bytes)?).await?;
        let status = if counted.faults.is_empty() { StatusCode::OK } else { StatusCode::MULTI_STATUS };
        return Ok((status, Json(show::answer(counted))).into_response());
    }
    let counted = usage::ingest(&cx, state.deps(), vec![parse::single(&events.bytes)?]).await?;
    match counted.faults.first() {
        // For one event there is no other to be told of.
        Some(fault) if fault.code == Code::TenantNotFound => {
            Err(Failure::field(Code::UsageEvent, &fault.field, &fault.message))
        }
        Some(fault) => Err(Failure::field(fault.code, &fault.field, &fault.message)),
        None => Ok(Json(show::answer(counted)).into_response()),
    }
}

/// What a report is about.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
struct ReportParams {
    /// The meter.
    #[param(required = true, example = "egress", max_length = 50, pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]
    meter: String,
    /// From when on, a time or a day; its window is whole. 30 windows before the end unless given.
    #[param(nullable = false, example = "2027-03-01")]
    from: Option<String>,
    /// Until when, a time or a day; its window is whole. Now unless given.
    #[param(nullable = false, example = "2027-04-01")]
    to: Option<String>,
    /// What the span is cut into, in UTC: `hour`, `day` or `month`; days unless given.
    #[param(nullable = false, example = "day", pattern = "^(hour|day|month)$")]
    window: Option<String>,
    /// Dimensions that figures are kept apart by, separated by commas.
    #[param(nullable = false, example = "region", max_length = 250)]
    group_by: Option<String>,
    /// `csv` for a table; JSON unless given.
    #[param(nullable = false, example = "csv", pattern = "^(json|csv)$")]
    format: Option<String>,
}

/// What a ranking is about.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
struct RankingParams {
    /// The meter.
    #[param(required = true, example = "egress", max_length = 50, pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]
    meter: String,
    /// From when on, a time or a day; its window is whole. 30 windows before the end unless given.
    #[param(nullable = false, example = "2027-03-01")]
    from: Option<String>,
    /// Until when, a time or a day; its window is whole. Now unless given.
    #[param(nullable = false, example = "2027-04-01")]
    to: Option<String>,
    /// What the span is rounded to, in UTC: `hour`, `day` or `month`; days unless given.
    #[param(nullable = false, example = "day", pattern = "^(hour|day|month)$")]
    window: Option<String>,
    /// Most tenants.
    #[param(nullable = false, value_type = Option<u16>, minimum = 1, maximum = 1000, example = 10)]
    limit: Option<String>,
    /// `csv` for a table; JSON unless given.
    #[param(nullable = false, example = "csv", pattern = "^(json|csv)$")]
    format: Option<String>,
}

fn asked(
    meter: &str,
    from: Option<&str>,
    to: Option<&str>,
    window: Option<&str>,
    group: Option<&str>,
) -> Result<Asked> {
    let wrong = |field: &str, message: &dyn std::fmt::Display| Failure::field(Code::InvalidParameter, field, message);
    let time = |field: &str, text: Option<&str>| text.map(parse_time).transpose().map_err(|error| wrong(field, &error));
    let window = window.map(str::parse::<Window>).transpose().map_err(|error| wrong("window", &error))?;
    let fields = group.unwrap_or_default().split(',').map(str::trim).filter(|name| !name.is_empty());
    let group = fields.map(str::parse::<Field>).collect::<std::result::Result<Vec<_>, _>>();
    Ok(Asked {
        meter: meter.parse().map_err(|error| wrong("meter", &error))?,
        from: time("from", from)?,
        to: time("to", to)?,
        window: window.unwrap_or_default(),
        group: group.map_err(|error| wrong("groupBy", &error))?,
    })
}

/// Whether a table is wanted.
fn is_csv(format: Option<&str>) -> Result<bool> {
    match format {
        None | Some("json") => Ok(false),
        Some("csv") => Ok(true),
        Some(_) => Err(Failure::field(Code::InvalidParameter, "format", "must be `json` or `csv`")),
    }
}

fn csv(name: &str, text: String) -> Response {
    let disposition = format!("attachment; filename=\"{name}.csv\"");
    ([(CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()), (CONTENT_DISPOSITION, disposition)], text).into_response()
}

/// Say what a tenant used
///
/// Of one meter, by windows in UTC. Everything that was answered as counted is in it. Kept for 13 months.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/tenants/{tenant}/usage", tag = "usage", operation_id = "getUsage",
    params(InEnvironment, OfTenant, ReportParams),
    responses((status = 200, description = "The report.", content((UsageReport = "application/json"), (String = "text/csv")))),
)]
async fn report(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    Params(params): Params<ReportParams>,
) -> Result<Response> {
    let is_csv = is_csv(params.format.as_deref())?;
    let (from, to) = (params.from.as_deref(), params.to.as_deref());
    let asked = asked(&params.meter, from, to, params.window.as_deref(), params.group_by.as_deref())?;
    let found = usage::report(&call.read(), state.deps(), &tenant, &asked).await?;
    let report = show::report(&found);
    if is_csv {
        let group: Vec<String> = asked.group.iter().map(ToString::to_string).collect();
        return Ok(csv(&format!("usage-{}-{}", report.tenant, report.meter), show::report_csv(&report, &group)));
    }
    Ok(Json(report).into_response())
}

/// Say what tenants used
///
/// Of one meter, over the whole span: those with most first.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/usage", tag = "usage", operation_id = "rankUsage",
    params(InEnvironment, RankingParams),
    responses((status = 200, description = "The ranking.", content((UsageRanking = "application/json"), (String = "text/csv")))),
)]
async fn ranking(With(state): With<State>, call: Call, Params(params): Params<RankingParams>) -> Result<Response> {
    let is_csv = is_csv(params.format.as_deref())?;
    let limit = params.limit.as_deref().unwrap_or("10").parse::<u32>().ok().filter(|limit| (1..=1000).contains(limit));
    let wrong = || Failure::field(Code::InvalidParameter, "limit", "must be a whole number from 1 to 1000");
    let limit = limit.ok_or_else(wrong)?;
    let (from, to) = (params.from.as_deref(), params.to.as_deref());
    let asked = asked(&params.meter, from, to, params.window.as_deref(), None)?;
    let found = usage::ranking(&call.read(), state.deps(), &asked, limit).await?;
    let ranking = show::ranking(&found);
    if is_csv {
        return Ok(csv(&format!("usage-{}", ranking.meter), show::ranking_csv(&ranking)));
    }
    Ok(Json(ranking).into_response())
}
