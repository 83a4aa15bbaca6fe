//! People of a tenant.
//!
//! Long because it is one list of plain shapes that belong together.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A member of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// The tenant's id.
    #[schema(example = "ten_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub tenant: String,
    /// The user's id; the same in all tenants of the environment.
    #[schema(example = "usr_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub user: String,
    /// Who issues their tokens, `iss`.
    #[schema(example = "https://login.example.com")]
    pub issuer: String,
    /// The pool inside the issuer; left out where it has one only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub pool: Option<String>,
    /// What the issuer calls them, `sub`.
    #[schema(example = "248289761001")]
    pub subject: String,
    /// Their address when they were heard of last. It identifies nobody.
    #[schema(example = "anna@example.com")]
    pub email: String,
    /// Their name, where it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub name: Option<String>,
    /// What they hold: `owner`, `admin`, `member`, `readonly`, or a role of the tenant's own.
    #[schema(example = "member")]
    pub role: String,
    /// Rises with every change.
    #[schema(example = 1)]
    pub version: i64,
    /// Since when they are a member.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Who made them one.
    #[schema(example = "service:tok_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub created_by: String,
    /// The last change.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

/// Makes somebody a member whose account at the issuer exists already.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MemberRequest {
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
    /// Their address.
    #[schema(max_length = 254)]
    pub email: String,
    /// Their name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 200)]
    pub name: Option<String>,
    /// What they will hold.
    #[schema(max_length = 40)]
    pub role: String,
    /// The member on whose behalf this is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub acting_user: Option<String>,
}

/// Gives a member another role.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MemberPatch {
    /// What they will hold.
    #[schema(max_length = 40)]
    pub role: String,
    /// The member on whose behalf this is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub acting_user: Option<String>,
}

/// Many members at once.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MemberImport {
    /// The rows; each is done or refused for itself.
    #[schema(max_items = 1000)]
    pub rows: Vec<MemberImportRow>,
    /// Says what would happen, and does nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub dry_run: Option<bool>,
    /// The member on whose behalf this is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub acting_user: Option<String>,
}

/// One row: a member with a role, or one who is to go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MemberImportRow {
    /// Who issues their tokens, `iss`.
    pub issuer: String,
    /// The pool inside the issuer, where it has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub pool: Option<String>,
    /// What the issuer calls them, `sub`.
    pub subject: String,
    /// Their address; not needed to remove them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub email: Option<String>,
    /// Their name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub name: Option<String>,
    /// What they hold; not needed to remove them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub role: Option<String>,
    /// `true` ends the membership.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub remove: Option<bool>,
}

/// What became of the rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberImportReport {
    /// Whether it was only tried.
    pub dry_run: bool,
    /// New members.
    pub added: usize,
    /// Members with another role, address or name.
    pub changed: usize,
    /// Members no more.
    pub removed: usize,
    /// Rows that were so already.
    pub unchanged: usize,
    /// Rows that nothing was done about.
    pub refused: usize,
    /// One per row, in order.
    pub rows: Vec<MemberImportResult>,
}

/// What became of one row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberImportResult {
    /// Its number, from 1.
    pub row: usize,
    /// `added`, `changed`, `removed`, `unchanged` or `refused`.
    #[schema(example = "added")]
    pub outcome: String,
    /// The user's id, once they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub user: Option<String>,
    /// The error's code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "TEN-0061")]
    pub code: Option<String>,
    /// What is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub message: Option<String>,
}

/// Asks whether a user may do something in a tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MemberCheckRequest {
    /// The user's id.
    #[schema(example = "usr_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub user: String,
    /// The permission.
    #[schema(example = "tenant:data:write", max_length = 64)]
    pub permission: String,
}

/// Whether a user may do something in a tenant, right now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberCheck {
    /// Whether they may.
    pub allowed: bool,
    /// What they lack.
    pub missing: Vec<String>,
    /// What they hold; left out for somebody who is no member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub role: Option<String>,
}

/// What a member may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberPermissions {
    /// The user's id.
    pub user: String,
    /// What they hold.
    pub role: String,
    /// The permissions of it that are known here. Of the application's own, the standard roles have more: ask `members:check`.
    pub permissions: Vec<String>,
}

/// A role of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberRole {
    /// Its name.
    #[schema(example = "support")]
    pub name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub title: Option<String>,
    /// What it lets its holders do; of a standard role only those that begin with `tenant:`.
    pub permissions: Vec<String>,
    /// Whether every tenant has it. Such a role cannot be changed.
    pub standard: bool,
    /// Rises with every change; 0 for a standard role.
    pub version: i64,
    /// The last change; left out for a standard role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub updated_at: Option<Timestamp>,
}

/// The roles of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberRoleList {
    /// The standard ones, then the tenant's own by name.
    pub items: Vec<MemberRole>,
}

/// Defines a role of a tenant's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MemberRoleRequest {
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 100)]
    pub title: Option<String>,
    /// What it lets its holders do: exactly these.
    #[schema(max_items = 100, example = json!(["tenant:data:read", "feature:exports"]))]
    pub permissions: Vec<String>,
    /// The member on whose behalf this is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub acting_user: Option<String>,
}

/// An invitation. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Invitation {
    /// Its id.
    #[schema(example = "inv_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub id: String,
    /// The tenant's id.
    pub tenant: String,
    /// The tenant's name.
    #[schema(example = "acme")]
    pub slug: String,
    /// Who is invited. Only this mailbox can accept.
    #[schema(example = "anna@example.com")]
    pub email: String,
    /// As what.
    #[schema(example = "member")]
    pub role: String,
    /// `open`, `expired`, `accepted`, `declined` or `withdrawn`.
    #[schema(example = "open")]
    pub status: String,
    /// The member who invited; left out for an operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub invited_by: Option<String>,
    /// How often it was sent or shown.
    pub sends: i32,
    /// When last.
    #[schema(value_type = String, format = DateTime)]
    pub sent_at: Timestamp,
    /// Until when it can be accepted.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// Rises with every change.
    pub version: i64,
    /// Since when it exists.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When it was answered or withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub settled_at: Option<Timestamp>,
    /// Who became a member by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub accepted_by: Option<String>,
    /// How its mail stands; left out in lists, and where none was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub mail: Option<InvitationMail>,
}

/// How the mail of an invitation stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InvitationMail {
    /// `waiting`, `sent` or `dropped`.
    #[schema(example = "sent")]
    pub status: String,
    /// How often it was tried.
    pub attempts: i32,
    /// When a mail server took it, or it was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub at: Option<Timestamp>,
    /// Why the last attempt failed, or why it was dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub cause: Option<String>,
}

/// Invites somebody.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InvitationRequest {
    /// Who. ASCII; a domain with other letters in its `xn--` form.
    #[schema(max_length = 254, example = "anna@example.com")]
    pub email: String,
    /// As what.
    #[schema(max_length = 40, example = "member")]
    pub role: String,
    /// How long it holds, `5m` to `72h`; `72h` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "24h", pattern = "^[0-9]{1,9}[smhd]$")]
    pub valid_for: Option<String>,
    /// `mail` unless given; with `link` nothing is sent, and the answer has the token for the caller to deliver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, pattern = "^(mail|link)$")]
    pub delivery: Option<String>,
    /// Whether the person gets an account in the tenant's own pool beforehand; the mail then has the provider's link to set a
    /// password. Goes with `mail` only.
    #[serde(default)]
    pub account: bool,
    /// The member on whose behalf this is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub acting_user: Option<String>,
}

/// Sends an invitation again, with a new link.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InvitationResend {
    /// `mail` unless given, or `link`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, pattern = "^(mail|link)$")]
    pub delivery: Option<String>,
    /// The member on whose behalf this is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub acting_user: Option<String>,
}

/// An invitation with the token of its link, which is shown once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IssuedInvitation {
    /// The invitation.
    pub invitation: Invitation,
    /// Its token, when `delivery` is `link`. Left out in the answer to a repetition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub token: Option<String>,
    /// The link with it, where the template of links is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub link: Option<String>,
}

impl std::fmt::Debug for IssuedInvitation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedInvitation").field("invitation", &self.invitation).finish_non_exhaustive()
    }
}

/// On whose behalf something is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OnBehalf {
    /// The member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub acting_user: Option<String>,
}

/// Accepts an invitation for a person who is logged in. The caller vouches for who they are.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InvitationAcceptance {
    /// The token out of the link.
    #[schema(max_length = 100)]
    pub token: String,
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
    /// Their address, as the issuer has it; must be the invited one.
    #[schema(max_length = 254)]
    pub email: String,
    /// Whether the issuer has verified the address; must be `true`.
    pub email_verified: bool,
    /// Their name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 200)]
    pub name: Option<String>,
}

impl std::fmt::Debug for InvitationAcceptance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InvitationAcceptance").field("subject", &self.subject).finish_non_exhaustive()
    }
}

/// Declines an invitation.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InvitationDecline {
    /// The token out of the link.
    #[schema(max_length = 100)]
    pub token: String,
}

impl std::fmt::Debug for InvitationDecline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InvitationDecline(…)")
    }
}

/// Offers the ownership to a member.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OwnershipTransfer {
    /// The owner who offers it and becomes an admin.
    pub acting_user: String,
    /// How long the offer holds, `5m` to `72h`; `72h` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "24h", pattern = "^[0-9]{1,9}[smhd]$")]
    pub valid_for: Option<String>,
}

/// An offer of ownership.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OwnershipOffer {
    /// The owner who offers.
    pub from: String,
    /// The member who is asked.
    pub to: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Until when it can be taken.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

/// A tenant that a user is a member of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Membership {
    /// The tenant's id.
    pub tenant: String,
    /// Its name.
    #[schema(example = "acme")]
    pub slug: String,
    /// Its name for people.
    pub display_name: String,
    /// What the user holds there.
    pub role: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}
