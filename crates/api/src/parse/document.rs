//! The frame of a manifest: version, kind, metadata, then the kind's own `spec`.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use serde_json::Value;
use tenantry_domain::code::{Code, FieldError};
use tenantry_domain::manifest::{API_VERSION, Document, Manifest};
use tenantry_domain::name::EnvironmentName;
use tenantry_domain::tenant::{Slug, Spec};

use super::read::{Node, Object, Report, shorten};
use super::{app, cell, plan, tenant as tenants, usage};
use crate::problem::Rejection;

/// What is wrong with one document.
#[derive(Debug)]
pub(crate) struct Found {
    /// `UnknownKind` when it could not even be told what the document is.
    pub(crate) code: Code,
    /// All complaints.
    pub(crate) errors: Vec<FieldError>,
}

struct Metadata<N> {
    name: Option<N>,
    environment: Option<EnvironmentName>,
    labels: BTreeMap<String, String>,
}

/// What is known about a document before it is read.
#[derive(Clone, Copy)]
struct Frame<'a> {
    report: &'a Report,
    /// The environment that the request is about, if that is known.
    environment: Option<&'a EnvironmentName>,
    naming: Naming,
}

#[derive(Clone, Copy, PartialEq)]
enum Naming {
    /// Only the document says which object it is.
    Document,
    /// A route may have said it.
    Route,
}

/// Reads a document of any kind.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) fn document(value: &Value, environment: Option<&EnvironmentName>) -> Result<Document, Found> {
    let report = Report::new();
    let frame = Frame { report: &report, environment, naming: Naming::Document };
    match any_kind(value, frame) {
        Ok(Some(document)) if report.is_clean() => Ok(document),
        Ok(_) => Err(Found { code: Code::InvalidManifest, errors: report.into_complaints() }),
        Err(code) => Err(Found { code, errors: report.into_complaints() }),
    }
}

fn any_kind(value: &Value, frame: Frame<'_>) -> Result<Option<Document>, Code> {
    let report = frame.report;
    if !value.is_object() {
        report.add("", "a document must be a mapping with apiVersion, kind, metadata and spec");
        return Err(Code::InvalidManifest);
    }
    let Some(object) = Node::root(value).object(report) else { return Ok(None) };
    let version = object.required("apiVersion").and_then(|node| version(&node, report));
    let kinds = Manifest::KINDS.map(|kind| (kind, kind));
    let kind = object.required("kind").and_then(|node| node.word(report, &kinds));
    let (Some(()), Some(kind)) = (version, kind) else { return Err(Code::UnknownKind) };
    let document = match kind {
        "App" => declared(&object, frame, |name, spec| Manifest::App { name, spec }, app::spec),
        "Plan" => declared(&object, frame, |name, spec| Manifest::Plan { name, spec }, plan::spec),
        "Cell" => declared(&object, frame, |name, spec| Manifest::Cell { name, spec }, cell::spec),
        "Meter" => declared(&object, frame, |name, spec| Manifest::Meter { name, spec }, usage::meter),
        "Region" => region(&object, frame),
        _ => tenant_of(&object, frame).and_then(|(environment, body)| {
            Some(Document { environment, manifest: Manifest::Tenant { slug: body.name?, spec: body.spec } })
        }),
    };
    status(&object, report);
    object.finish();
    Ok(document)
}

/// A tenant as the tenant's own routes take it: version, kind and name may be left out, since the route says them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantBody {
    /// Absent when the body leaves it to the route.
    pub name: Option<Slug>,
    /// What is wanted.
    pub spec: Spec,
}

/// Reads a tenant's manifest for a route of an environment.
///
/// # Errors
/// Everything that is wrong with it.
pub fn tenant(value: &Value, environment: &EnvironmentName) -> Result<TenantBody, Rejection> {
    let report = Report::new();
    let frame = Frame { report: &report, environment: Some(environment), naming: Naming::Route };
    if !value.is_object() {
        return Err(Rejection::field(Code::InvalidManifest, "", "the body must be a mapping with metadata and spec"));
    }
    let body = Node::root(value).object(&report).and_then(|object| {
        object.get("apiVersion").and_then(|node| version(&node, &report));
        object.get("kind").and_then(|node| node.word(&report, &[("Tenant", ())]));
        let body = tenant_of(&object, frame).map(|(_, body)| body);
        status(&object, &report);
        object.finish();
        body
    });
    match body {
        Some(body) if report.is_clean() => Ok(body),
        _ => Err(Rejection::fields(Code::InvalidManifest, report.into_complaints())),
    }
}

fn tenant_of(object: &Object<'_, '_>, frame: Frame<'_>) -> Option<(Option<EnvironmentName>, TenantBody)> {
    let metadata = metadata::<Slug>(object, frame, |metadata| {
        metadata.or("labels", BTreeMap::new(), |node| tenants::labels(node, frame.report))
    });
    let spec = object.required("spec").and_then(|node| tenants::spec(&node, frame.report));
    let (metadata, mut spec) = (metadata?, spec?);
    spec.labels = metadata.labels;
    Some((metadata.environment, TenantBody { name: metadata.name, spec }))
}

fn region(object: &Object<'_, '_>, frame: Frame<'_>) -> Option<Document> {
    let metadata = metadata(object, frame, |_| Some(BTreeMap::new()));
    let spec = cell::region(object.get("spec").as_ref(), frame.report);
    let (metadata, spec) = (metadata?, spec?);
    Some(Document { environment: metadata.environment, manifest: Manifest::Region { name: metadata.name?, spec } })
}

fn declared<N: FromStr<Err: Display>, S>(
    object: &Object<'_, '_>,
    frame: Frame<'_>,
    make: impl FnOnce(N, S) -> Manifest,
    read: impl FnOnce(&Node<'_>, &Report) -> Option<S>,
) -> Option<Document> {
    let metadata = metadata::<N>(object, frame, |_| Some(BTreeMap::new()));
    let spec = object.required("spec").and_then(|node| read(&node, frame.report));
    let (metadata, spec) = (metadata?, spec?);
    Some(Document { environment: metadata.environment, manifest: make(metadata.name?, spec) })
}

fn version(node: &Node<'_>, report: &Report) -> Option<()> {
    let text = node.text(report)?;
    if text == API_VERSION {
        return Some(());
    }
    node.complain(report, format_args!("`{}` is not known; expected `{API_VERSION}`", shorten(text)));
    None
}

/// Reads `metadata`. Only a tenant has labels, hence the function for them.
fn metadata<N: FromStr<Err: Display>>(
    object: &Object<'_, '_>,
    frame: Frame<'_>,
    labels: impl FnOnce(&Object<'_, '_>) -> Option<BTreeMap<String, String>>,
) -> Option<Metadata<N>> {
    let report = frame.report;
    let node = match frame.naming {
        Naming::Document => Some(object.required("metadata")?),
        Naming::Route => object.get("metadata"),
    };
    let Some(node) = node else { return Some(Metadata { name: None, environment: None, labels: BTreeMap::new() }) };
    let metadata = node.object(report)?;
    let name = match frame.naming {
        Naming::Document => metadata.required("name").and_then(|node| node.parse::<N>(report)).map(Some),
        Naming::Route => metadata.optional("name", |node| node.parse::<N>(report)),
    };
    let environment = metadata.optional("environment", |node| {
        let named: EnvironmentName = node.parse(report)?;
        match frame.environment {
            Some(expected) if *expected != named => {
                node.complain(report, format_args!("is `{named}`, but the request is about `{expected}`"));
                None
            }
            _ => Some(named),
        }
    });
    let labels = labels(&metadata);
    metadata.finish();
    Some(Metadata { name: name?, environment: environment?, labels: labels? })
}

/// What controllers wrote may stand in a document, so that what was read can be applied; it is not read.
fn status(object: &Object<'_, '_>, report: &Report) {
    if let Some(node) = object.get("status") {
        node.mapping(report);
    }
}
