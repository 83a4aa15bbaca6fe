//! Bodies: bounded, of a media type that is read, and strict.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use serde_json::Value;
use tenantry_api::manifest::{self, Format};
use tenantry_api::parse;
use tenantry_domain::code::Code;
use tenantry_domain::manifest::Manifest;
use tenantry_domain::name::EnvironmentName;

use crate::State;
use crate::problem::{Failure, Result};

const JSON: &[&str] = &["application/json"];
const PATCH: &[&str] = &["application/merge-patch+json", "application/json"];
const MANIFESTS: &[&str] = &["application/yaml", "application/x-yaml", "text/yaml", "application/json"];

/// A tenant's manifest or another JSON body.
#[derive(Debug)]
pub struct JsonBody(pub Value);

impl FromRequest<State> for JsonBody {
    type Rejection = Failure;
    async fn from_request(request: Request, state: &State) -> Result<Self> {
        media_type(request.headers(), JSON)?;
        let bytes = bytes(request, state.options().body).await?;
        Ok(Self(parse::json(&bytes, Code::MalformedRequest)?))
    }
}

/// A merge patch.
#[derive(Debug)]
pub struct PatchBody(pub Value);

impl FromRequest<State> for PatchBody {
    type Rejection = Failure;
    async fn from_request(request: Request, state: &State) -> Result<Self> {
        media_type(request.headers(), PATCH)?;
        let bytes = bytes(request, state.options().body).await?;
        Ok(Self(parse::json(&bytes, Code::MalformedRequest)?))
    }
}

/// One or more manifests, YAML or JSON.
#[derive(Debug)]
pub struct Manifests {
    bytes: Bytes,
    format: Format,
}

/// Manifests that were understood.
#[derive(Debug)]
pub struct Understood {
    /// What they declare.
    pub manifests: Vec<Manifest>,
    /// Kind and name of each, for messages.
    pub titles: Vec<String>,
    /// The same for fingerprints: one form, however they were written.
    pub canonical: Value,
}

impl FromRequest<State> for Manifests {
    type Rejection = Failure;
    async fn from_request(request: Request, state: &State) -> Result<Self> {
        let found = media_type(request.headers(), MANIFESTS)?;
        let format = if found == "application/json" { Format::Json } else { Format::Yaml };
        Ok(Self { bytes: bytes(request, state.options().manifests).await?, format })
    }
}

impl Manifests {
    /// Reads them for an environment.
    ///
    /// # Errors
    /// Everything that is wrong with any of them.
    pub fn understand(&self, environment: &EnvironmentName) -> Result<Understood> {
        let documents = manifest::parse_text(&self.bytes, self.format, Some(environment))?;
        let manifests: Vec<Manifest> = documents.into_iter().map(|document| document.manifest).collect();
        let title = |(index, manifest): (usize, &Manifest)| {
            format!("document {}: {} `{}`", index + 1, manifest.kind(), manifest.name())
        };
        let titles = manifests.iter().enumerate().map(title).collect();
        // Reading again is cheap beside what follows, and keeps the parser's interface small.
        let canonical = Value::Array(manifest::read(&self.bytes, self.format)?);
        Ok(Understood { manifests, titles, canonical })
    }
}

/// The body of a verb that takes none: nothing, or an empty mapping.
#[derive(Debug)]
pub struct NoBody;

impl FromRequest<State> for NoBody {
    type Rejection = Failure;
    async fn from_request(request: Request, _: &State) -> Result<Self> {
        let bytes = bytes(request, 1024).await?;
        if bytes.is_empty() || bytes.trim_ascii() == b"{}" {
            return Ok(Self);
        }
        Err(Failure::new(Code::MalformedRequest, "the request takes no body").hint("Leave the body out."))
    }
}

/// The media type without its parameters, if it is one of those that are read.
///
/// # Errors
/// It is another one, is missing, or the body is encoded.
pub fn media_type(headers: &HeaderMap, known: &'static [&'static str]) -> Result<&'static str> {
    let listed = known.join(", ");
    let refuse = |detail: String| Failure::new(Code::MediaType, detail).hint(format!("Send one of: {listed}."));
    if headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(refuse("encoded bodies are not read".to_owned()).hint("Send the body without Content-Encoding."));
    }
    let mut given = headers.get_all(CONTENT_TYPE).iter();
    let (Some(header), None) = (given.next(), given.next()) else {
        return Err(refuse("the request needs exactly one Content-Type header".to_owned()));
    };
    let text = header.to_str().unwrap_or_default().to_ascii_lowercase();
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let found = known.iter().find(|known| **known == name);
    let found = found.ok_or_else(|| refuse(format!("`{}` is not read here", parse::read::shorten(name))))?;
    let charsets = parts.filter_map(|part| part.strip_prefix("charset="));
    if charsets.map(|name| name.trim_matches('"')).any(|name| name != "utf-8") {
        return Err(refuse("only UTF-8 is read".to_owned()));
    }
    Ok(found)
}

/// A body of at most so many bytes.
///
/// # Errors
/// It is larger, or was not sent whole.
pub async fn bytes(request: Request, bound: usize) -> Result<Bytes> {
    let refuse = || Failure::new(Code::BodyTooLarge, format_args!("the body is larger than {bound} bytes"));
    let announced =
        request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > bound) {
        return Err(refuse());
    }
    axum::body::to_bytes(request.into_body(), bound).await.map_err(|error| {
        if std::error::Error::source(&error).is_some_and(|cause| cause.is::<http_body_util::LengthLimitError>()) {
            refuse()
        } else {
            Failure::new(Code::MalformedRequest, "the body ended before it was complete")
        }
    })
}
