//! What events about access carry: logins, emergency access, members, pools of users, domains. Names and addresses of
//! members are read, with the rights that one has, from the tenant.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A login of the gateway was made, has another password, or was taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Login {
    /// Its name.
    #[schema(example = "acme-reports")]
    pub login: String,
    /// Name of the tenant whose it is.
    #[schema(example = "acme")]
    pub slug: Option<String>,
    /// The app whose it is, for a service's.
    pub app: Option<String>,
    /// How many tenants a service may enter; nothing for all of the app.
    pub tenants: Option<u64>,
    /// How long it keeps a server session.
    #[schema(example = "transaction")]
    pub mode: Option<String>,
    /// Whether it may write.
    #[schema(example = "read")]
    pub access: Option<String>,
    /// Which server of the tenant's cell it is served by.
    #[schema(example = "primary")]
    pub server: Option<String>,
    /// How it proves itself.
    #[schema(example = "password")]
    pub proof: Option<String>,
    /// From when on it is refused.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// Until when the password before is good too.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub old_password_until: Option<Timestamp>,
    /// The emergency access that it is for.
    pub grant: Option<String>,
}

/// Emergency access to a tenant's data: asked for, agreed to, used, over, looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Access {
    /// Its id.
    #[schema(example = "bg_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub grant: String,
    /// The person of the operator who asked.
    #[schema(example = "olga")]
    pub person: String,
    /// The person who agreed.
    pub approver: Option<String>,
    /// Whether it is to write, too.
    #[schema(example = "read")]
    pub access: String,
    /// For how long.
    #[schema(minimum = 1, example = 60)]
    pub minutes: u32,
    /// Where it is discussed.
    pub ticket: Option<String>,
    /// Why.
    pub reason: String,
    /// Since when it holds.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub from: Option<Timestamp>,
    /// Until when it holds.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
}

/// Somebody was invited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberInvited {
    /// The tenant's name.
    #[schema(example = "acme")]
    pub slug: String,
    /// The invitation.
    #[schema(example = "inv_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub invitation: String,
    /// The role that it gives.
    #[schema(example = "member")]
    pub role: String,
    /// Until when it can be accepted.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

/// Somebody is a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberJoined {
    /// The tenant's name.
    #[schema(example = "acme")]
    pub slug: String,
    /// The user.
    #[schema(example = "usr_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub user: String,
    /// The role.
    #[schema(example = "member")]
    pub role: String,
    /// The invitation that was accepted.
    pub invitation: Option<String>,
}

/// Somebody is a member no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberRemoved {
    /// The tenant's name.
    #[schema(example = "acme")]
    pub slug: String,
    /// The user.
    #[schema(example = "usr_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub user: String,
    /// The role that they had.
    #[schema(example = "member")]
    pub role: String,
}

/// A member has another role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberRoleChanged {
    /// The tenant's name.
    #[schema(example = "acme")]
    pub slug: String,
    /// The user.
    #[schema(example = "usr_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub user: String,
    /// The role before.
    #[schema(example = "member")]
    pub from: String,
    /// The role now.
    #[schema(example = "admin")]
    pub role: String,
}

/// The tenant's own pool of users is there, closed, open again, or gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolFact {
    /// The tenant's name.
    #[schema(example = "acme")]
    pub slug: String,
    /// Who issues its users' tokens.
    #[schema(example = "https://securetoken.google.com/acme-prod")]
    pub issuer: String,
    /// The provider's id of the pool.
    pub pool: Option<String>,
}

/// A domain of the tenant's own is proven, or its proof is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DomainFact {
    /// The tenant's name.
    #[schema(example = "acme")]
    pub slug: String,
    /// The domain.
    #[schema(example = "chat.acme.example")]
    pub domain: String,
}
