//! Bodies: the protocol's media type or plain JSON, a mebibyte at most.

use axum::extract::{FromRequest, Request};
use serde_json::Value;
use tenantry_api::parse;
use tenantry_domain::code::Code;
use tenantry_domain::member::scim::BODY;

use super::refused::{Refused, Result};
use crate::State;
use crate::extract::{bytes, media_type};

const KNOWN: &[&str] = &[super::MEDIA, "application/json"];

/// A JSON body.
#[derive(Debug)]
pub(super) struct ScimBody(pub(super) Value);

impl FromRequest<State> for ScimBody {
    type Rejection = Refused;
    async fn from_request(request: Request, state: &State) -> Result<Self> {
        media_type(request.headers(), KNOWN)?;
        let bytes = bytes(request, state.options().body.min(BODY)).await?;
        let read = parse::json(&bytes, Code::DirectoryRequest);
        read.map(Self).map_err(|rejection| Refused::with_word(rejection.into(), "invalidSyntax"))
    }
}
