//! The schema that rules are validated against: entities and circumstances of the product, its actions, and the type of
//! the bundle's own settings.
//!
//! Actions come from [`crate::action::ACTIONS`], so a rule that names one that does not exist is refused when it is
//! loaded. A bundle's own schema is laid beside: it declares the common type `Own` and whatever else its rules need,
//! and cannot change what the product declares.

use std::fmt::Write as _;

use cedar_policy::{Schema, SchemaFragment};
use tenantry_domain::code::FieldError;

use crate::action::{ACTIONS, GROUPS};
use crate::depth;

const ENTITIES: &str = include_str!("../governance/entities.cedarschema");

/// What the type of own settings is as long as a bundle does not say.
pub const OWN: &str = include_str!("../governance/own.cedarschema");

/// The product's part, as Cedar's text.
#[must_use]
pub fn text() -> String {
    format!("{ENTITIES}\n{}", actions())
}

fn actions() -> String {
    let mut text = String::from("namespace Tenantry {\n");
    for group in GROUPS {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "  action \"{group}\";");
    }
    for (name, groups) in ACTIONS {
        let groups: Vec<_> = groups.iter().map(|group| format!("\"{group}\"")).collect();
        let _ = writeln!(
            text,
            "  action \"{name}\" in [{}] appliesTo {{\n    principal: [Principal],\n    resource: [Tenant, \
             Environment, Object],\n    context: Circumstances,\n  }};",
            groups.join(", ")
        );
    }
    text.push_str("}\n");
    text
}

/// The whole schema of a bundle.
///
/// # Errors
/// The bundle's part cannot be read, or contradicts the product's.
pub fn whole(own: Option<&str>) -> Result<Schema, FieldError> {
    let read = |file: &str, text: &str| {
        SchemaFragment::from_cedarschema_str(text)
            .map(|(fragment, _)| fragment)
            .map_err(|error| FieldError::new(file, error))
    };
    if let Some(text) = own {
        depth::check(text).map_err(|error| FieldError::new("schema.cedarschema", error))?;
    }
    let fragments =
        [read("entities", ENTITIES)?, read("actions", &actions())?, read("schema.cedarschema", own.unwrap_or(OWN))?];
    Schema::from_schema_fragments(fragments).map_err(|error| FieldError::new("schema.cedarschema", error))
}
