//! The AsyncAPI 3.0 document: which events leave on which ways, in which shape. Made from the same table as the schemas.

use serde_json::{Map, Value, json};
use tenantry_domain::event::Type;

use super::{schema, shape, version};
use crate::v1::event::Event;

const DESCRIPTION: &str = "\
Facts of the control plane, as CloudEvents 1.0. An event exists if and only if its change was committed. Sequences are \
gapless per subject; delivery is at least once, in order per subject, so that a sequence that was seen is a repetition. \
Readers ignore types and fields that they do not know; within a version of the payloads fields are only added.";

/// The ways on which messages leave: name, address, what it is.
const TENANT: (&str, &str, &str) = (
    "tenantEvents",
    "/v1/environments/{environment}/tenants/{tenant}/events/stream",
    "Server-sent events of one tenant; `id` is the sequence, `Last-Event-ID` goes on behind it.",
);
const ENVIRONMENT: (&str, &str, &str) = (
    "environmentEvents",
    "/v1/environments/{environment}/events/stream",
    "Server-sent events of the environment itself: catalog, rollouts, findings at cells.",
);
const WEBHOOK: (&str, &str, &str) = (
    "webhook",
    "{url}",
    "A signed request to an endpoint of webhooks; a body of more than 16 KiB has its data left out.",
);

/// The document.
#[must_use]
pub fn asyncapi() -> Value {
    let mut schemas = Map::new();
    let envelope = schema::hoist(schema::of::<Event>(), &mut schemas);
    schemas.insert("Event".to_owned(), envelope);
    let mut messages = Map::new();
    for kind in Type::ALL {
        let (shape, name) = (shape(*kind), kind.as_str());
        let data = schema::hoist((shape.schema)(), &mut schemas);
        schemas.insert((shape.name)(), data);
        let data = format!("#/components/schemas/{}", (shape.name)());
        let own = json!({
            "type": "object",
            "properties": { "type": { "const": name }, "payloadversion": { "const": version() }, "data": { "$ref": data } },
            "required": ["type", "data"],
        });
        let message = json!({
            "name": name,
            "title": kind.about(),
            "contentType": "application/cloudevents+json",
            "correlationId": { "location": "$message.payload#/correlationid" },
            "payload": { "allOf": [{ "$ref": "#/components/schemas/Event" }, own] },
        });
        messages.insert(key(*kind), message);
    }
    let everything: Map<String, Value> = Type::ALL
        .iter()
        .map(|kind| (key(*kind), json!({ "$ref": format!("#/components/messages/{}", key(*kind)) })))
        .collect();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Tenantry events", "version": env!("CARGO_PKG_VERSION"), "description": DESCRIPTION,
            "license": { "name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0" },
        },
        "defaultContentType": "application/cloudevents+json",
        "servers": {
            "api": {
                "host": "{host}", "protocol": "https", "description": "This installation.",
                "variables": { "host": { "description": "Host and port of the API.", "default": "127.0.0.1:7070" } },
                "security": [{ "$ref": "#/components/securitySchemes/bearer" }],
            },
            "receiver": {
                "host": "{host}", "protocol": "https", "description": "Whoever has an endpoint of webhooks.",
                "variables": { "host": { "description": "Host of the endpoint's URL.", "default": "hooks.example.com" } },
            },
        },
        "channels": {
            TENANT.0: channel(TENANT, "api", &["environment", "tenant"], &everything),
            ENVIRONMENT.0: channel(ENVIRONMENT, "api", &["environment"], &everything),
            WEBHOOK.0: channel(WEBHOOK, "receiver", &["url"], &everything),
        },
        "operations": {
            "streamTenantEvents": { "action": "send", "channel": { "$ref": "#/channels/tenantEvents" }, "summary": TENANT.2 },
            "streamEvents": { "action": "send", "channel": { "$ref": "#/channels/environmentEvents" }, "summary": ENVIRONMENT.2 },
            "deliverEvents": { "action": "send", "channel": { "$ref": "#/channels/webhook" }, "summary": WEBHOOK.2 },
        },
        "components": {
            "messages": messages, "schemas": schemas,
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer", "description": "A token with the right `event.read`." } },
        },
    })
}

/// A type as a name of a component.
fn key(kind: Type) -> String {
    kind.as_str().replace('.', "_")
}

fn channel(
    (_, address, about): (&str, &str, &str),
    server: &str,
    parameters: &[&str],
    messages: &Map<String, Value>,
) -> Value {
    let parameters: Map<String, Value> = parameters
        .iter()
        .map(|name| {
            let about = match *name {
                "environment" => "The partition of the registry.",
                "tenant" => "The tenant, by its name or id.",
                _ => "The endpoint's path.",
            };
            ((*name).to_owned(), json!({ "description": about }))
        })
        .collect();
    let servers = json!([{ "$ref": format!("#/servers/{server}") }]);
    json!({ "address": address, "description": about, "servers": servers, "parameters": parameters, "messages": messages })
}
