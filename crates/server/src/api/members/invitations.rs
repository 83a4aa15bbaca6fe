//! Invitations to a tenant. They are answered by POST alone: whatever only looks at a link changes nothing.

use axum::Json;
use axum::extract::{FromRequestParts, State as With};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::Deserialize;
use tenantry_api::parse::member as parse;
use tenantry_api::v1::Page;
use tenantry_api::v1::member::{
    Invitation, InvitationAcceptance, InvitationDecline, InvitationRequest, InvitationResend, IssuedInvitation, Member,
    OnBehalf,
};
use tenantry_control::Ctx;
use tenantry_control::members::{self, Answer, Delivery, Invite, Token};
use tenantry_domain::code::Code;
use tenantry_domain::id::InvitationId;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::history::Nothing;
use super::super::{InEnvironment, OfTenant, OptionalKey, Precondition, RequiredKey, answer};
use super::{Behalf, acting, unseen};
use crate::State;
use crate::convert;
use crate::extract::{Call, Caller, IfMatch, JsonBody, Params, TenantPath, page_size, path_value};
use crate::problem::{Failure, Result};

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get))
        .routes(routes!(resend))
        .routes(routes!(withdraw))
        .routes(routes!(accept))
        .routes(routes!(decline))
}

/// `{invitation}` of the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "for the documentation; extractors read the path")]
struct OfInvitation {
    /// The invitation's id.
    #[param(example = "inv_01jd8x3v9mfk2t5h7q0w4z6y8c", pattern = "^inv_[0-7][0-9a-hjkmnp-tv-z]{25}$")]
    invitation: String,
}

/// `{invitation}`: an id.
#[derive(Debug)]
struct InvitationPath(InvitationId);

impl FromRequestParts<State> for InvitationPath {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self> {
        let parsed = path_value(parts, state, "invitation").await?.parse();
        parsed.map(Self).map_err(|error| {
            Failure::field(Code::InvalidParameter, "invitation", error).hint("Name the invitation by its id (`inv_…`).")
        })
    }
}

/// Which invitations.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
struct ListParams {
    /// `true` for those that are over, too.
    #[param(nullable = false, example = "false", pattern = "^(true|false)$")]
    over: Option<String>,
    /// The member on whose behalf this is asked.
    #[param(nullable = false, pattern = "^usr_[0-7][0-9a-hjkmnp-tv-z]{25}$")]
    acting_user: Option<String>,
    /// Items per page, 1 to 200; 50 unless given.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    page_size: Option<String>,
    /// `nextPageToken` of the page before.
    page_token: Option<String>,
}

/// List the invitations to a tenant
///
/// Newest first.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/tenants/{tenant}/invitations", tag = "members", operation_id = "listInvitations",
    params(InEnvironment, OfTenant, ListParams),
    responses((status = 200, description = "A page of invitations.", body = Page<Invitation>)),
)]
async fn list(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    Params(params): Params<ListParams>,
) -> Result<Json<Page<Invitation>>> {
    let with_over = match params.over.as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Failure::field(Code::InvalidParameter, "over", "must be `true` or `false`")),
    };
    let (acting, size) = (acting(params.acting_user.as_deref())?, page_size(params.page_size.as_deref())?);
    let page = (size, params.page_token.as_deref());
    let page = members::invitations(&call.read(), state.deps(), &tenant, acting, with_over, page).await?;
    Ok(Json(convert::page(page, convert::member::invitation)))
}

const fn delivery(by_link: bool) -> Delivery {
    if by_link { Delivery::Link } else { Delivery::Mail }
}

/// Invite somebody
///
/// By mail, unless the caller delivers the link. The link works once, for this mailbox, at most three days, and only as
/// long as the one who invites may still do so.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/tenants/{tenant}/invitations", tag = "members", operation_id = "createInvitation",
    params(InEnvironment, OfTenant, RequiredKey),
    request_body(content = InvitationRequest, example = json!({ "email": "anna@example.com", "role": "member" })),
    responses((status = 201, description = "Invited. A token is not shown again.", body = IssuedInvitation)),
)]
async fn create(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    _: Params<Nothing>,
    JsonBody(body): JsonBody,
) -> Result {
    call.require_key()?;
    let wanted = parse::invitation(&body)?;
    let delivery = delivery(wanted.by_link);
    let invite = Invite {
        email: wanted.email,
        role: wanted.role,
        valid_for: wanted.valid_for,
        delivery,
        with_account: wanted.with_account,
    };
    let issued = members::invite(&call.write(&body), state.deps(), &tenant, wanted.acting, &invite).await?;
    let version = issued.invitation.version;
    let mut response = answer::versioned(&convert::member::issued(issued), version);
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

/// Read an invitation
///
/// With how its mail stands.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/tenants/{tenant}/invitations/{invitation}", tag = "members", operation_id = "getInvitation",
    params(InEnvironment, OfTenant, OfInvitation, Behalf),
    responses((status = 200, description = "The invitation.", body = Invitation)),
)]
async fn get(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    InvitationPath(id): InvitationPath,
    Params(behalf): Params<Behalf>,
) -> Result {
    let (found, mail) = members::invitation(&call.read(), state.deps(), &tenant, behalf.acting()?, id).await?;
    let version = found.version;
    let mut shown = convert::member::invitation(found);
    shown.mail = mail.map(convert::member::mail);
    Ok(answer::versioned(&shown, version))
}

/// Send an invitation again
///
/// With a new link and a new end; the link before ends. At most five times, a minute apart.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/tenants/{tenant}/invitations/{invitation}/@resend", tag = "members", operation_id = "resendInvitation",
    params(InEnvironment, OfTenant, OfInvitation, RequiredKey),
    request_body(content = InvitationResend, example = json!({})),
    responses((status = 200, description = "Sent again. A token is not shown again.", body = IssuedInvitation)),
)]
async fn resend(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    InvitationPath(id): InvitationPath,
    _: Params<Nothing>,
    JsonBody(body): JsonBody,
) -> Result {
    call.require_key()?;
    let (by_link, acting) = parse::resend(&body)?;
    let cx = call.write(&body);
    let issued = members::resend(&cx, state.deps(), &tenant, acting, id, delivery(by_link)).await?;
    let version = issued.invitation.version;
    Ok(answer::versioned(&convert::member::issued(issued), version))
}

/// Withdraw an invitation
///
/// Its link ends at once, and a mail that has not left yet does not.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/tenants/{tenant}/invitations/{invitation}/@withdraw", tag = "members", operation_id = "withdrawInvitation",
    params(InEnvironment, OfTenant, OfInvitation, Precondition, OptionalKey),
    request_body(content = OnBehalf, example = json!({})),
    responses((status = 200, description = "The invitation.", body = Invitation)),
)]
async fn withdraw(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    InvitationPath(id): InvitationPath,
    IfMatch(expected): IfMatch,
    _: Params<Nothing>,
    JsonBody(body): JsonBody,
) -> Result {
    let acting = parse::on_behalf(&body)?;
    let withdrawn = members::withdraw(&call.write(&body), state.deps(), &tenant, acting, id, expected).await?;
    let version = withdrawn.version;
    Ok(answer::versioned(&convert::member::invitation(withdrawn), version))
}

/// Where the token's invitation is, and the circumstances there. All that is wrong with a token is one answer.
async fn enter(state: &State, caller: Caller, token: &str) -> Result<(Ctx, Token)> {
    let unknown = || Failure::new(Code::InvitationNotFound, "there is no such invitation");
    let token: Token = token.parse().map_err(|_| unknown())?;
    let environment = members::environment_of(state.deps(), &token).await?;
    let cx = caller.enter(state, environment).await.map_err(|failure| unseen(failure, unknown))?;
    Ok((cx, token))
}

/// Accept an invitation
///
/// The caller is the application that has logged the person in and vouches for who they are. Good once: of many that accept
/// at the same time, one becomes a member.
#[utoipa::path(
    post, path = "/v1/invitations/@accept", tag = "members", operation_id = "acceptInvitation",
    request_body(content = InvitationAcceptance, example = json!({
        "token": "inv_01jd8x3v9mfk2t5h7q0w4z6y8c_3q2-7w", "issuer": "https://login.example.com", "subject": "248289761001",
        "email": "anna@example.com", "emailVerified": true
    })),
    responses((status = 201, description = "They are a member.", body = Member)),
)]
async fn accept(With(state): With<State>, caller: Caller, _: Params<Nothing>, JsonBody(body): JsonBody) -> Result {
    let wanted = parse::acceptance(&body)?;
    let (cx, token) = enter(&state, caller, &wanted.token).await?;
    let answer_of =
        Answer { identity: wanted.identity, email: wanted.email, is_verified: wanted.is_verified, name: wanted.name };
    let joined = members::accept(&cx, state.deps(), &token, &answer_of).await?;
    let version = joined.version;
    let mut response = answer::versioned(&convert::member::member(joined), version);
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

/// Decline an invitation
#[utoipa::path(
    post, path = "/v1/invitations/@decline", tag = "members", operation_id = "declineInvitation",
    request_body(content = InvitationDecline, example = json!({ "token": "inv_01jd8x3v9mfk2t5h7q0w4z6y8c_3q2-7w" })),
    responses((status = 200, description = "The invitation.", body = Invitation)),
)]
async fn decline(
    With(state): With<State>,
    caller: Caller,
    _: Params<Nothing>,
    JsonBody(body): JsonBody,
) -> Result<Json<Invitation>> {
    let token = parse::decline(&body)?;
    let (cx, token) = enter(&state, caller, &token).await?;
    let declined = members::decline(&cx, state.deps(), &token).await?;
    Ok(Json(convert::member::invitation(declined)))
}
