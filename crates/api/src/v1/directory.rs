//! A customer's directory: how it is set up, which groups give which roles, and the shapes of SCIM.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A tenant's directory, as the tenant's admins set it up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Directory {
    /// Whose subjects the directory's external ids are, `iss`; left out when people are claimed by a verified address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "https://login.example.com")]
    pub issuer: Option<String>,
    /// The pool inside the issuer; left out where it has one only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub pool: Option<String>,
    /// What somebody holds whom no group gives a role.
    #[schema(example = "readonly")]
    pub default_role: String,
    /// Users that the directory keeps here, the inactive ones counted.
    #[schema(example = 120)]
    pub users: i64,
    /// Those of them that are members.
    #[schema(example = 118)]
    pub members: i64,
    /// Groups that the directory keeps here.
    #[schema(example = 7)]
    pub groups: i64,
    /// Rises with every change; 0 when nobody has set anything up.
    #[schema(example = 1)]
    pub version: i64,
}

/// Sets a tenant's directory up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DirectoryRequest {
    /// Whose subjects the directory's external ids are, `iss`. Without it people are claimed by a verified address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 512)]
    pub issuer: Option<String>,
    /// The pool inside the issuer, where it has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 128)]
    pub pool: Option<String>,
    /// What somebody holds whom no group gives a role; `readonly` unless given, never `owner`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 40)]
    pub default_role: Option<String>,
    /// The member on whose behalf this is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, pattern = "^usr_[0-7][0-9a-hjkmnp-tv-z]{25}$")]
    pub acting_user: Option<String>,
}

/// A group of the directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DirectoryGroup {
    /// Its id.
    #[schema(example = "019300a0-5b1c-7d60-9a3e-0d2f4c6b8a90")]
    pub id: String,
    /// Its name.
    #[schema(example = "Engineering")]
    pub name: String,
    /// What the directory calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub external_id: Option<String>,
    /// What those who are in it hold; left out when it gives no role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "member")]
    pub role: Option<String>,
    /// How many are in it.
    #[schema(example = 42)]
    pub size: i64,
    /// Rises with every change.
    #[schema(example = 3)]
    pub version: i64,
    /// The last change.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

/// Says which role a group gives.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DirectoryGroupRole {
    /// The role, never `owner`; left out for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 40)]
    pub role: Option<String>,
    /// The member on whose behalf this is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, pattern = "^usr_[0-7][0-9a-hjkmnp-tv-z]{25}$")]
    pub acting_user: Option<String>,
}

/// Somebody who has logged in and may be whom the directory announced.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DirectoryClaim {
    /// Who issues their tokens, `iss`.
    #[schema(max_length = 512)]
    pub issuer: String,
    /// The pool inside the issuer, where it has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 128)]
    pub pool: Option<String>,
    /// What the issuer calls them, `sub`.
    #[schema(max_length = 255)]
    pub subject: String,
    /// Their address, as the issuer has it.
    #[schema(max_length = 254)]
    pub email: String,
    /// Whether the issuer has verified it, `email_verified`.
    pub email_verified: bool,
    /// Their name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 200)]
    pub name: Option<String>,
}

/// A document of SCIM 2.0 (RFC 7643, RFC 7644): a user, a group, a list, a patch, or what describes them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScimDocument {
    /// Of which schemas it is.
    pub schemas: Vec<String>,
    /// What the schemas say.
    #[serde(flatten)]
    pub attributes: BTreeMap<String, Value>,
}

/// An error of SCIM 2.0 (RFC 7644, section 3.12).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScimError {
    /// `urn:ietf:params:scim:api:messages:2.0:Error`.
    pub schemas: Vec<String>,
    /// The HTTP status.
    #[schema(example = "409")]
    pub status: String,
    /// The protocol's word for what is wrong, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "uniqueness")]
    pub scim_type: Option<String>,
    /// Our code, what is wrong, and what to do.
    #[schema(
        example = "TEN-0085: another User has this `userName`. Look it up by a filter and change it instead of making another one."
    )]
    pub detail: String,
}
