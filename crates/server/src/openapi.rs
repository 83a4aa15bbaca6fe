//! The OpenAPI document: made from the routes, then completed with what every route has in common.
//!
//! Which problems a route can answer follows from its shape (a path with names can be 404, a precondition 412 and
//! 428, a body 413 and 415), so it is added here by rule instead of by hand at each route.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};
use tenantry_api::problem::Problem;
use tenantry_api::v1::directory::ScimError;
use tenantry_domain::code::Code;
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

const DESCRIPTION: &str = "\
The control plane of Tenantry: declare tenants, plans and cells as manifests, follow how they become true, and read \
the evidence.\n\n\
Everything lives in an environment. Objects have the shape of their manifests: `spec` is what is wanted, `status` what \
is. Changes name the version that they build on (`If-Match`), answer 202 with an operation to follow when work is left, \
and can be repeated under an `Idempotency-Key`. Whatever is not 2xx is a problem (RFC 9457) with a stable code, a hint \
and the fields at fault.";

#[derive(OpenApi)]
#[openapi(
    info(title = "Tenantry", description = DESCRIPTION, license(name = "Apache-2.0", identifier = "Apache-2.0"), contact(name = "Tenantry", url = "https://docs.tenantry.dev")),
    tags(
        (name = "manifests", description = "Declarative change of many objects at once."),
        (name = "tenants", description = "Tenants, their lifecycle, their place, what they are entitled to."),
        (name = "history", description = "Versions of everything that is declared."),
        (name = "domains", description = "Domains of tenants' own, and the DNS records that prove them."),
        (name = "isolation", description = "Ways from one tenant to another that the guard found."),
        (name = "catalog", description = "Plans, regions, cells and apps."),
        (name = "features", description = "Flags, which features a tenant has and uses, and OpenFeature's protocol."),
        (name = "routes", description = "Whose request it is, and how to reach the tenant's data."),
        (name = "gateway", description = "Logins with which applications enter tenants through the gateway."),
        (name = "access", description = "Emergency access to a tenant's data: asked for, agreed to by somebody else, over by itself."),
        (name = "policy", description = "The operator's rules, and approvals of what they hold up."),
        (name = "members", description = "People of a tenant: members, roles, invitations."),
        (name = "people", description = "Who calls, and where people of the operator sign in."),
        (name = "scim", description = "SCIM 2.0 for a customer's directory, and how a tenant's admins set it up."),
        (name = "tokens", description = "Who may do what with this API."),
        (name = "quotas", description = "What tenants use of their quotas and rates."),
        (name = "usage", description = "What tenants use: events of the product counted by meters, and reports of them."),
        (name = "rollouts", description = "Versions of apps on their way to all tenants, in waves."),
        (name = "operations", description = "Long work as its callers follow and steer it."),
        (name = "audit", description = "Who did what, as evidence."),
        (name = "events", description = "Facts of the outbox."),
        (name = "webhooks", description = "Endpoints that events are sent to, attempts, dead letters, replays."),
        (name = "incidents", description = "What is wrong with the service, whom it concerns, and who was told of what."),
        (name = "health", description = "Signs of life, counters, this document."),
    ),
    servers((url = "/", description = "This installation.")),
    components(schemas(Problem, ScimError)),
    security(("bearer" = [])),
    modifiers(&Bearer),
)]
struct Head;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut Document) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A token of an operator or a machine, `ten_live_…`, or an access token of an issuer where people of the operator sign in."))
            .build();
        document.components.get_or_insert_default().add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// What stands before the routes.
pub(crate) fn head() -> Document {
    let mut head = Head::openapi();
    env!("CARGO_PKG_VERSION").clone_into(&mut head.info.version);
    head
}

/// The whole document as text. Put together when somebody asks for it first, and not while a server starts.
pub(crate) fn text() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| document().to_string());
    &TEXT
}

/// The whole document.
#[must_use]
pub fn document() -> Value {
    let (_, document) = crate::router::routes().split_for_parts();
    // A value of its own types is always JSON.
    let mut document = serde_json::to_value(document).unwrap_or_default();
    let paths = document.get_mut("paths").map(Value::take);
    if let Some(Value::Object(paths)) = paths {
        let complete = |(path, mut item): (String, Value)| {
            complete_path(&path, &mut item);
            (path.replace("/@", ":"), item)
        };
        document["paths"] = Value::Object(paths.into_iter().map(complete).collect());
    }
    document["components"]["responses"] = Value::Object(problems());
    document["components"]["headers"] = headers();
    prune(&mut document);
    document
}

/// Takes away the schemas that nothing refers to: generic shapes carry their parts inside.
fn prune(document: &mut Value) {
    loop {
        let mut referred = BTreeSet::new();
        references(document, &mut referred);
        let Some(schemas) = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut) else { return };
        let before = schemas.len();
        schemas.retain(|name, _| referred.contains(name));
        if schemas.len() == before {
            return;
        }
    }
}

/// Names of the schemas that a part of the document refers to.
fn references(part: &Value, into: &mut BTreeSet<String>) {
    match part {
        Value::String(text) => into.extend(text.strip_prefix("#/components/schemas/").map(ToOwned::to_owned)),
        Value::Array(members) => members.iter().for_each(|member| references(member, into)),
        Value::Object(members) => members.values().for_each(|member| references(member, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Statuses that a route answers with problems, and what they mean there.
const STATUSES: &[(u16, &str, &[Code])] = &[
    (401, "No valid credential came with the request.", &[Code::Unauthenticated]),
    (403, "A policy refuses the action, or a hard bound is reached.", &[Code::PolicyDenied, Code::NoCapacity]),
    (
        404,
        "There is no such thing, or it is hidden from this caller.",
        &[
            Code::TenantNotFound,
            Code::ObjectNotFound,
            Code::OperationNotFound,
            Code::EnvironmentNotFound,
            Code::VersionNotFound,
            Code::RouteNotFound,
        ],
    ),
    (405, "The route does not know the method.", &[Code::MethodNotAllowed]),
    (
        409,
        "The state of the thing rules it out.",
        &[
            Code::IllegalTransition,
            Code::TransitionRunning,
            Code::SlugTaken,
            Code::ExternalIdTaken,
            Code::LevelChange,
            Code::InUse,
            Code::LoginTaken,
            Code::LoginRevoked,
            Code::MigrationRan,
            Code::KeyInFlight,
        ],
    ),
    (410, "It was there, and does not hold any more.", &[Code::InvitationOver, Code::TenantArchived]),
    (412, "The version given is not the current one.", &[Code::StaleVersion]),
    (413, "The body is larger than the server reads.", &[Code::BodyTooLarge]),
    (415, "The media type is not one that the server reads.", &[Code::MediaType]),
    (
        422,
        "The request can never succeed as it is.",
        &[
            Code::InvalidManifest,
            Code::MalformedDocument,
            Code::InvalidParameter,
            Code::MalformedRequest,
            Code::InvalidReference,
            Code::KeyReused,
        ],
    ),
    (428, "The request needs an If-Match header.", &[Code::VersionRequired]),
    (429, "Too many requests for now.", &[Code::TooManyRequests]),
    (500, "A defect of ours.", &[Code::Internal]),
    (
        503,
        "Something that is needed is away for now.",
        &[Code::DatabaseUnavailable, Code::CellUnavailable, Code::Overloaded, Code::Timeout],
    ),
];

/// Routes that speak another protocol's words, also about what goes wrong.
const SCIM: &str = "/scim/";

fn scim_error() -> Value {
    let content = json!({ "application/scim+json": { "schema": { "$ref": "#/components/schemas/ScimError" } } });
    json!({ "description": "What went wrong, in the protocol's words.", "headers": common_headers(), "content": content })
}

fn problems() -> Map<String, Value> {
    let response = |(status, description, codes): &(u16, &str, &[Code])| {
        let examples: Map<String, Value> = codes
            .iter()
            .map(|code| {
                (code.to_string(), json!({ "summary": code.title(), "value": Problem::new(*code, code.title()) }))
            })
            .collect();
        let mut headers = common_headers();
        if matches!(status, 429 | 503) {
            headers.insert("Retry-After".to_owned(), json!({ "$ref": "#/components/headers/RetryAfter" }));
        }
        let content = json!({ "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" }, "examples": examples } });
        (format!("Problem{status}"), json!({ "description": description, "headers": headers, "content": content }))
    };
    let scim = ("ScimError".to_owned(), scim_error());
    STATUSES.iter().map(response).chain([scim]).collect()
}

fn headers() -> Value {
    let text = |description: &str, example: &str| json!({ "description": description, "schema": { "type": "string" }, "example": example });
    json!({
        "RequestId": text("The request's own id.", "req_01jd8x3v9mfk2t5h7q0w4z6y8c"),
        "CorrelationId": text("The chain of requests: the caller's `X-Correlation-Id`, else the request's own id.", "deploy-4711"),
        "ETag": text("The version, for the next `If-Match`.", "\"v7\""),
        "OperationId": text("The operation that follows.", "op_01jd8x3v9mfk2t5h7q0w4z6y8c"),
        "Location": text("Where to follow the operation.", "/v1/operations/op_01jd8x3v9mfk2t5h7q0w4z6y8c"),
        "AuditReceipt": text("Proof that the change was recorded: number and hash of its audit entry. Left out on repetitions.", "seq=12;hash=9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
        "RetryAfter": { "description": "Seconds to wait before trying again.", "schema": { "type": "integer", "minimum": 0 }, "example": 2 },
    })
}

fn common_headers() -> Map<String, Value> {
    let reference = |name: &str| json!({ "$ref": format!("#/components/headers/{name}") });
    [("X-Request-Id", "RequestId"), ("X-Correlation-Id", "CorrelationId")]
        .into_iter()
        .map(|(header, name)| (header.to_owned(), reference(name)))
        .collect()
}

fn complete_path(path: &str, item: &mut Value) {
    let Some(operations) = item.as_object_mut() else { return };
    for (method, operation) in operations
        .iter_mut()
        .filter(|(method, _)| matches!(method.as_str(), "get" | "put" | "post" | "delete" | "patch"))
    {
        let possible = possible(path, method, operation);
        describe_parameters(operation);
        let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else { continue };
        for (status, response) in responses.iter_mut() {
            let mut headers = common_headers();
            headers.extend(answer_headers(path, method, status));
            response["headers"] = Value::Object(headers);
        }
        if path.starts_with(SCIM) {
            for status in
                possible.iter().map(|status| if *status == 422 { 400 } else { *status }).filter(|status| *status != 428)
            {
                responses.insert(status.to_string(), json!({ "$ref": "#/components/responses/ScimError" }));
            }
            continue;
        }
        for status in possible {
            responses.insert(status.to_string(), json!({ "$ref": format!("#/components/responses/Problem{status}") }));
        }
    }
}

/// A parameter whose schema is made by a function has its description there; readers look at the parameter.
fn describe_parameters(operation: &mut Value) {
    let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
    for parameter in parameters.into_iter().flatten().filter(|parameter| parameter.get("description").is_none()) {
        if let Some(description) = parameter.pointer_mut("/schema/description").map(Value::take) {
            parameter["description"] = description;
        }
        if let Some(schema) = parameter.get_mut("schema").and_then(Value::as_object_mut) {
            schema.remove("description");
        }
    }
}

/// Which problems the route's shape makes possible.
fn possible(path: &str, method: &str, operation: &Value) -> BTreeSet<u16> {
    let empty = Vec::new();
    let parameters = operation.get("parameters").and_then(Value::as_array).unwrap_or(&empty);
    let has = |name: &str| parameters.iter().any(|parameter| parameter["name"] == name);
    let is_open = operation.get("security").is_some_and(|security| security == &json!([{}]));
    let mut statuses = BTreeSet::from([405, 500, 503]);
    if !is_open {
        statuses.extend([401, 403, 429]);
    }
    if !parameters.is_empty() {
        statuses.extend([422]);
    }
    if path.contains('{') {
        statuses.insert(404);
    }
    // Their bodies name what may not be there, or not any more.
    if path.starts_with("/v1/invitations/") {
        statuses.extend([404, 410]);
    }
    if method != "get" {
        statuses.extend([403, 409, 413, 422]);
    }
    if has("If-Match") {
        statuses.extend([412, 428]);
    }
    if operation.get("requestBody").is_some() {
        statuses.extend([413, 415, 422]);
    }
    statuses
}

fn answer_headers(path: &str, method: &str, status: &str) -> Vec<(String, Value)> {
    let is_change = method != "get"
        && !path.ends_with("@plan")
        && !path.ends_with("@verify")
        && !path.ends_with("/isolation/@run")
        && !path.starts_with("/v1/operations");
    let is_one = path.ends_with("/{tenant}") || path.ends_with("/{name}") || (is_change && path.contains("/tenants"));
    let mut names = Vec::new();
    if path.starts_with(SCIM) || path.contains("/directory") {
        let is_one = path.ends_with("Users/{id}") || path.ends_with("Groups/{id}");
        let has_tag = is_one && method != "delete"
            || ["/directory", "/role", "@claim"].iter().any(|end| path.ends_with(end))
            || status == "201";
        let tag = || ("ETag".to_owned(), json!({ "$ref": "#/components/headers/ETag" }));
        return (has_tag && status != "304").then(tag).into_iter().collect();
    }
    if path.contains("/gateway-logins") {
        // Nothing is left to do after such a change, so there is no operation to follow.
        let is_list = method == "get" && path.ends_with("/gateway-logins");
        let tag = ("ETag".to_owned(), json!({ "$ref": "#/components/headers/ETag" }));
        return if is_list { Vec::new() } else { vec![tag] };
    }
    let people = ["/members", "/roles", "/invitations", "/ownership-offer", "/v1/users/"];
    if people.iter().any(|part| path.contains(part)) {
        let bare =
            ["/members", "/roles", "/invitations", "/ownership-offer", "/permissions", "/v1/users/{user}/tenants"];
        let verbs = ["@import", "@check", "@transfer-ownership", "@decline"];
        let has_tag = status == "201"
            || !bare.iter().any(|end| path.ends_with(end)) && !verbs.iter().any(|verb| path.ends_with(verb));
        let tag = || ("ETag".to_owned(), json!({ "$ref": "#/components/headers/ETag" }));
        return has_tag.then(tag).into_iter().collect();
    }
    if is_one && status != "204" {
        names.push(("ETag", "ETag"));
    }
    if is_change && !path.contains("/{name}") {
        names.extend([("Operation-Id", "OperationId"), ("Location", "Location"), ("Audit-Receipt", "AuditReceipt")]);
    }
    names
        .into_iter()
        .map(|(header, name)| (header.to_owned(), json!({ "$ref": format!("#/components/headers/{name}") })))
        .collect()
}
