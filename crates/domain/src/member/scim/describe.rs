//! The documents by which clients learn what is here: schemas, types of resources, what is supported.

use serde_json::{Value, json};

use super::MOST_PER_PAGE;
use super::schema::{Attribute, Form, Kind, Mutability};

fn describe(attribute: &Attribute) -> Value {
    let form = match attribute.form {
        Form::Text => "string",
        Form::Bool => "boolean",
        Form::Reference => "reference",
        Form::Time => "dateTime",
        Form::Complex => "complex",
    };
    let mutability = match attribute.mutability {
        Mutability::ReadWrite => "readWrite",
        Mutability::Immutable => "immutable",
        Mutability::ReadOnly => "readOnly",
    };
    let mut shown = json!({
        "name": attribute.name, "type": form, "multiValued": attribute.is_multi, "required": attribute.is_required,
        "mutability": mutability, "returned": "default", "uniqueness": if attribute.is_unique { "server" } else { "none" },
        "description": attribute.about,
    });
    match attribute.form {
        Form::Text | Form::Reference => shown["caseExact"] = json!(attribute.is_exact),
        Form::Bool | Form::Time => {}
        Form::Complex => shown["subAttributes"] = attribute.parts.iter().map(describe).collect(),
    }
    if !attribute.usual.is_empty() {
        shown["canonicalValues"] = json!(attribute.usual);
    }
    if attribute.form == Form::Reference {
        shown["referenceTypes"] = json!(attribute.leads_to);
    }
    shown
}

/// The schema of a kind as a document (RFC 7643, section 7), found at `base`.
#[must_use]
pub fn document(kind: Kind, base: &str) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
        "id": kind.schema(),
        "name": kind.as_str(),
        "description": match kind { Kind::User => "A person of the tenant.", Kind::Group => "People of the tenant together." },
        "attributes": kind.attributes().iter().map(describe).collect::<Value>(),
        "meta": { "resourceType": "Schema", "location": format!("{base}/Schemas/{}", kind.schema()) },
    })
}

/// A type of resource as a document (RFC 7643, section 6).
#[must_use]
pub fn resource_type(kind: Kind, base: &str) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
        "id": kind.as_str(),
        "name": kind.as_str(),
        "endpoint": format!("/{}", kind.endpoint()),
        "description": match kind { Kind::User => "A person of the tenant.", Kind::Group => "People of the tenant together." },
        "schema": kind.schema(),
        "meta": { "resourceType": "ResourceType", "location": format!("{base}/ResourceTypes/{}", kind.as_str()) },
    })
}

/// What is supported (RFC 7643, section 5).
#[must_use]
pub fn provider(base: &str) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "documentationUri": "https://docs.tenantry.dev/scim",
        "patch": { "supported": true },
        "bulk": { "supported": false, "maxOperations": 0, "maxPayloadSize": 0 },
        "filter": { "supported": true, "maxResults": MOST_PER_PAGE },
        "changePassword": { "supported": false },
        "sort": { "supported": false },
        "etag": { "supported": true },
        "authenticationSchemes": [{
            "type": "oauthbearertoken", "name": "API key of the tenant",
            "description": "`Authorization: Bearer ten_live_…`, a key of the tenant with the scope `scim.*`.", "primary": true,
        }],
        "meta": { "resourceType": "ServiceProviderConfig", "location": format!("{base}/ServiceProviderConfig") },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attribute_is_described() {
        for kind in Kind::ALL {
            let shown = document(kind, "/x");
            let names: Vec<_> = shown["attributes"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
            assert_eq!(names, kind.attributes().iter().map(|one| one.name).collect::<Vec<_>>());
            assert_eq!(resource_type(kind, "/x")["schema"], shown["id"]);
        }
        let provider = provider("/x");
        for absent in ["bulk", "sort", "changePassword"] {
            assert_eq!(provider[absent]["supported"], false, "{absent}");
        }
    }
}
