//! The desired state of regions and cells.
//!
//! A cell's connection is given by reference only. A text where a reference belongs is refused without being
//! repeated: it may be a password.

use tenantry_domain::cell::{Capacity, CellKind, CellSpec, Encryption, RegionSpec, SecretRef};
use tenantry_domain::plan::promise::Promises;

use super::read::{Node, Object, Report};

const MOST_PLACES: u64 = 1_000_000;
const REFERENCE: &str = "`urlFrom: { env: NAME }` or `urlFrom: { file: /path }`";

/// Reads a region's `spec`, which may be left out.
pub(super) fn region(node: Option<&Node<'_>>, report: &Report) -> Option<RegionSpec> {
    let Some(node) = node else { return Some(RegionSpec::default()) };
    let object = node.object(report)?;
    let description = object.optional("description", |node| node.line(report, 1000));
    let distances =
        object.or("distances", std::collections::BTreeMap::new(), |node| super::flag::distances(node, report));
    object.finish();
    Some(RegionSpec { description: description?, distances: distances? })
}

/// Reads a cell's `spec`.
pub(super) fn spec(node: &Node<'_>, report: &Report) -> Option<CellSpec> {
    let object = node.object(report)?;
    let region = object.required("region").and_then(|node| node.parse(report));
    let kinds = [("pooled", CellKind::Pooled), ("dedicated", CellKind::Dedicated)];
    let kind = object.or("kind", CellKind::default(), |node| node.word(report, &kinds));
    let database = object.required("database").and_then(|node| database(&node, report));
    let standbys = object.or("standbys", Vec::new(), |node| {
        node.list(report, CellSpec::MOST_STANDBYS, |node| self::database(node, report))
    });
    let capacity = match kind {
        // It has one place for its one tenant, whatever is declared.
        Some(CellKind::Dedicated) => object.or("capacity", Capacity::default(), |node| capacity(node, report)),
        _ => object.required("capacity").and_then(|node| capacity(&node, report)),
    };
    let draining = object.or("draining", false, |node| node.boolean(report));
    let words = Encryption::ALL.map(|kind| (kind.as_str(), kind));
    let encryption = object.optional("encryption", |node| node.word(report, &words));
    let promises = object.or("promises", Promises::new(), |node| super::plan::named(node, report, promise));
    object.finish();
    Some(CellSpec {
        region: region?,
        kind: kind?,
        database: database?,
        standbys: standbys?,
        capacity: capacity?,
        draining: draining?,
        encryption: encryption?,
        promises: promises?,
    })
}

/// A standing amount: what is promised anew each month cannot be held against what a cell has.
fn promise(node: &Node<'_>, report: &Report) -> Option<u64> {
    let quantity = super::bounds::quantity(node, report)?;
    if let (Some(amount), None) = (quantity.amount, quantity.per) {
        return Some(amount);
    }
    node.complain(
        report,
        "must be a whole number or a size such as `2Ti`, without a period; leave out what has no bound",
    );
    None
}

fn database(node: &Node<'_>, report: &Report) -> Option<SecretRef> {
    if node.value().is_string() {
        node.complain(
            report,
            format_args!("must not be given by value: a connection string is a secret; write {REFERENCE}"),
        );
        return None;
    }
    let object = node.object(report)?;
    let literal = object.get("url");
    if let Some(literal) = &literal {
        literal.complain(
            report,
            format_args!("must not be given by value: a connection string is a secret; write {REFERENCE}"),
        );
    }
    let reference = match &literal {
        None => object.required("urlFrom"),
        Some(_) => object.get("urlFrom"),
    };
    let reference = reference.and_then(|node| {
        if node.value().is_string() {
            node.complain(report, format_args!("must say where the secret is found: {REFERENCE}"));
            return None;
        }
        let object = node.object(report)?;
        let reference = secret(&object, report);
        object.finish();
        reference
    });
    object.finish();
    reference.filter(|_| literal.is_none())
}

fn secret(object: &Object<'_, '_>, report: &Report) -> Option<SecretRef> {
    match (object.get("env"), object.get("file")) {
        (Some(env), None) => variable(&env, report).map(SecretRef::Env),
        (None, Some(file)) => path(&file, report).map(SecretRef::File),
        (None, None) => {
            report.add(object.field("env"), "is required, or `file`");
            None
        }
        (Some(_), Some(file)) => {
            file.complain(report, "must be left out when `env` is given");
            None
        }
    }
}

fn variable(node: &Node<'_>, report: &Report) -> Option<String> {
    let text = node.text(report)?;
    let is_name = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let is_led = text.bytes().next().is_some_and(|b| !b.is_ascii_digit());
    if is_name && is_led && text.len() <= 255 {
        return Some(text.to_owned());
    }
    // The text is not repeated: people paste the secret itself here.
    node.complain(report, "must be the name of an environment variable, such as `EU_WEST_1_URL`");
    None
}

fn path(node: &Node<'_>, report: &Report) -> Option<String> {
    let text = node.text(report)?;
    let has_dots = text.split('/').any(|part| part == "..");
    if text.starts_with('/') && text.len() <= 4096 && !has_dots && !text.contains(|c: char| c.is_control()) {
        return Some(text.to_owned());
    }
    node.complain(report, "must be the absolute path of a file that the control plane can read, without `..`");
    None
}

fn capacity(node: &Node<'_>, report: &Report) -> Option<Capacity> {
    let object = node.object(report)?;
    let places = |name| {
        let count = object.or(name, 0, |node| node.integer(report, 0, MOST_PLACES))?;
        u32::try_from(count).ok()
    };
    let (shared, schema, database) = (places("shared"), places("schema"), places("database"));
    object.finish();
    Some(Capacity { shared: shared?, schema: schema?, database: database? })
}
