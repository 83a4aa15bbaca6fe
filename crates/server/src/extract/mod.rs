//! What a handler reads: who calls, path, parameters, headers, body. Each refuses with a problem that names the part.

mod access_token;
mod body;
mod call;
mod params;
mod path;
mod precondition;

pub use access_token::AccessToken;
pub use body::{JsonBody, Manifests, NoBody, PatchBody, bytes, media_type};
pub use call::{Call, Caller};
pub use params::{PageParams, Params, WaitParams, page_size, wait};
pub use path::{
    ApprovalPath, DomainPath, GrantPath, IncidentPath, LoginPath, NamePath, OperationPath, RolloutPath, TenantPath,
    TokenPath, VersionPath, WebhookPath, path_value,
};
pub use precondition::IfMatch;
