//! A tenant's desired state.

use std::collections::BTreeMap;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use serde_json::{Map, Value};
use tenantry_domain::access::domain::{self, DomainError};
use tenantry_domain::isolation::Isolation;
use tenantry_domain::name::RegionName;
use tenantry_domain::tenant::contact::{Contact, Contacts, Email};
use tenantry_domain::tenant::lifecycle::{Phase, SuspensionReason};
use tenantry_domain::tenant::profile::{Business, Commercial, CommercialStatus, Importance, Residency, SizeClass};
use tenantry_domain::tenant::spec::{Override, Overrides, Spec, Suspension};

use super::bounds::{depth, feature, key, quantity, rate, time, unique};
use super::read::{Node, Report, shorten};

/// Most bytes of a tenant's settings, as JSON.
const SETTINGS_BYTES: usize = 64 * 1024;
/// Deepest nesting of a tenant's settings.
const SETTINGS_DEPTH: usize = 16;

/// Reads `spec`. Labels stand in the metadata and are filled in by the caller.
pub(super) fn spec(node: &Node<'_>, report: &Report) -> Option<Spec> {
    let object = node.object(report)?;
    let display_name = object.required("displayName").and_then(|node| node.line(report, 255));
    let app = object.required("app").and_then(|node| node.parse(report));
    let plan = object.required("plan").and_then(|node| node.parse(report));
    let state = object.required("state").and_then(|node| state(&node, report));
    let suspension = object.optional("suspension", |node| suspension(node, report));
    let residency = object.required("residency").and_then(|node| residency(&node, report));
    let contacts = object.or("contacts", Contacts::default(), |node| contacts(node, report));
    let external_ids = object.or("externalIds", BTreeMap::new(), |node| external_ids(node, report));
    let aliases = object.or("aliases", Vec::new(), |node| aliases(node, report));
    let domains = object.or("domains", Vec::new(), |node| domains(node, report));
    let settings = object.or("settings", Map::new(), |node| settings(node, report));
    let commercial = object.or("commercial", Commercial::default(), |node| commercial(node, report));
    let business = object.or("business", Business::default(), |node| business(node, report));
    let overrides = object.or("overrides", Overrides::default(), |node| overrides(node, report));
    if let (Some(state), Some(suspension)) = (state, &suspension) {
        match (state, suspension) {
            (Phase::Suspended, None) if !object.mentions("suspension") => {
                report.add(
                    object.field("suspension"),
                    "is required when the state is suspended: `{ reason: commercial }` or `compliance`",
                );
            }
            (Phase::Suspended, None) => {
                report.add(object.field("suspension"), "must not be empty when the state is suspended")
            }
            (state, Some(_)) if state != Phase::Suspended => {
                report.add(object.field("suspension"), format_args!("must be left out when the state is {state}"));
            }
            _ => {}
        }
    }
    object.finish();
    Some(Spec {
        display_name: display_name?,
        app: app?,
        plan: plan?,
        state: state?,
        suspension: suspension?,
        deletion: None,
        residency: residency?,
        contacts: contacts?,
        external_ids: external_ids?,
        aliases: aliases?,
        domains: domains?,
        labels: BTreeMap::new(),
        settings: settings?,
        commercial: commercial?,
        business: business?,
        overrides: overrides?,
    })
}

fn state(node: &Node<'_>, report: &Report) -> Option<Phase> {
    let words = Phase::ALL.map(|phase| (phase.as_str(), phase));
    if node.value() == "deleted" {
        node.complain(
            report,
            "cannot be asked for by a manifest: archive the tenant, then delete it by name with a confirmation",
        );
        return None;
    }
    node.word(report, &words[..4])
}

/// Why a tenant shall be suspended; also the body of the suspend verb.
pub(super) fn suspension(node: &Node<'_>, report: &Report) -> Option<Suspension> {
    let object = node.object(report)?;
    let words = [("commercial", SuspensionReason::Commercial), ("compliance", SuspensionReason::Compliance)];
    let reason = object.required("reason").and_then(|node| node.word(report, &words));
    let note = object.optional("note", |node| node.line(report, 1000));
    object.finish();
    Some(Suspension { reason: reason?, note: note? })
}

fn residency(node: &Node<'_>, report: &Report) -> Option<Residency> {
    let object = node.object(report)?;
    let allowed = object.required("allowedRegions").and_then(|list| {
        let regions: Vec<RegionName> = list.list(report, 50, |node| node.parse(report))?;
        if regions.is_empty() {
            list.complain(report, "must name at least one region");
            return None;
        }
        unique(&regions, list.path(), report).then_some(regions)
    });
    let preferred = object.optional("preferredRegion", |node| node.parse::<RegionName>(report));
    let flags = object.or("flags", Vec::new(), |list| {
        let flags = list.list(report, 20, |node| key(node.text(report)?, node, report))?;
        unique(&flags, list.path(), report).then_some(flags)
    });
    if let (Some(allowed), Some(Some(preferred))) = (&allowed, &preferred)
        && !allowed.contains(preferred)
    {
        let names: Vec<_> = allowed.iter().map(RegionName::as_str).collect();
        let message = format_args!("`{preferred}` is not one of the allowed regions ({})", names.join(", "));
        report.add(object.field("preferredRegion"), message);
    }
    object.finish();
    Some(Residency { allowed_regions: allowed?, preferred_region: preferred?, flags: flags? })
}

fn contacts(node: &Node<'_>, report: &Report) -> Option<Contacts> {
    let object = node.object(report)?;
    let role = |name| object.or(name, Vec::new(), |list| list.list(report, 20, |node| contact(node, report)));
    let (technical, billing, incident) = (role("technical"), role("billing"), role("incident"));
    object.finish();
    Some(Contacts { technical: technical?, billing: billing?, incident: incident? })
}

fn contact(node: &Node<'_>, report: &Report) -> Option<Contact> {
    let object = node.object(report)?;
    let name = object.required("name").and_then(|node| node.line(report, 255));
    let email = object.required("email").and_then(|node| node.check(report, Email::parse));
    let confirmed_at = object.optional("confirmedAt", |node| time(node, report));
    object.finish();
    Some(Contact { name: name?, email: email?, confirmed_at: confirmed_at? })
}

fn external_ids(node: &Node<'_>, report: &Report) -> Option<BTreeMap<String, String>> {
    let entries = node.entries(report, 50)?;
    let read: Vec<_> = entries
        .into_iter()
        .map(|(system, id)| {
            let name = name(system, 50, &id, report);
            Some((name?, id.line(report, 255)?))
        })
        .collect();
    read.into_iter().collect()
}

/// A free name of a system or label: visible characters, at most `max`.
fn name(text: &str, max: usize, node: &Node<'_>, report: &Report) -> Option<String> {
    let is_edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '/'));
    if is_plain && is_edge(text.chars().next()) && is_edge(text.chars().next_back()) && text.len() <= max {
        return Some(text.to_owned());
    }
    let rule = "of a-z, A-Z, 0-9, `_`, `.`, `-` and `/`, with a letter or digit at both ends";
    node.complain(report, format_args!("the name `{}` must have 1 to {max} characters {rule}", shorten(text)));
    None
}

/// Labels of `metadata`.
pub(super) fn labels(node: &Node<'_>, report: &Report) -> Option<BTreeMap<String, String>> {
    let entries = node.entries(report, 64)?;
    let read: Vec<_> = entries
        .into_iter()
        .map(|(label, value)| {
            let name = name(label, 63, &value, report);
            Some((name?, value.line(report, 255)?))
        })
        .collect();
    read.into_iter().collect()
}

fn aliases(node: &Node<'_>, report: &Report) -> Option<Vec<String>> {
    let aliases = node.list(report, 20, |node| {
        let text = node.line(report, 50)?;
        if text.contains(char::is_whitespace) {
            node.complain(report, "must not hold white space");
            return None;
        }
        Some(text)
    })?;
    unique(&aliases, node.path(), report).then_some(aliases)
}

fn domains(node: &Node<'_>, report: &Report) -> Option<Vec<String>> {
    let domains = node.list(report, 20, |node| node.check(report, host))?;
    unique(&domains, node.path(), report).then_some(domains)
}

/// A domain in its one form. Labels `xn--…` must be what IDNA makes of a name, so that no two texts mean one domain and
/// none means a name that looks like another one's pieces.
fn host(text: &str) -> Result<String, String> {
    let shown = shorten(text);
    domain::check(text).map_err(|error| match error {
        DomainError::Long => format!("{error}; this has {}", text.len()),
        error => format!("`{shown}` {error}"),
    })?;
    let encoded = Uts46::new().to_ascii(text.as_bytes(), AsciiDenyList::STD3, Hyphens::Check, DnsLength::Verify);
    match encoded {
        Ok(encoded) if encoded == text => Ok(text.to_owned()),
        _ => Err(format!("`{shown}` has a label that is not a valid international one (IDNA); write it as `xn--…`")),
    }
}

fn settings(node: &Node<'_>, report: &Report) -> Option<Map<String, Value>> {
    let settings = node.mapping(report)?;
    let size = node.value().to_string().len();
    if size > SETTINGS_BYTES {
        node.complain(report, format_args!("must take at most {SETTINGS_BYTES} bytes as JSON, this takes {size}"));
        return None;
    }
    let levels = depth(node.value());
    if levels > SETTINGS_DEPTH {
        node.complain(report, format_args!("must be nested at most {SETTINGS_DEPTH} levels deep, this has {levels}"));
        return None;
    }
    Some(settings.clone())
}

fn commercial(node: &Node<'_>, report: &Report) -> Option<Commercial> {
    let object = node.object(report)?;
    let words = [
        ("trial", CommercialStatus::Trial),
        ("paying", CommercialStatus::Paying),
        ("pastDue", CommercialStatus::PastDue),
    ];
    let status = object.or("status", CommercialStatus::default(), |node| node.word(report, &words));
    let trial_ends = object.optional("trialEnds", |node| time(node, report));
    let subscription_ends = object.optional("subscriptionEnds", |node| time(node, report));
    object.finish();
    Some(Commercial { status: status?, trial_ends: trial_ends?, subscription_ends: subscription_ends? })
}

fn business(node: &Node<'_>, report: &Report) -> Option<Business> {
    let object = node.object(report)?;
    let sizes = [("small", SizeClass::Small), ("medium", SizeClass::Medium), ("large", SizeClass::Large)];
    let weights = [("normal", Importance::Normal), ("high", Importance::High), ("critical", Importance::Critical)];
    let size = object.or("size", SizeClass::default(), |node| node.word(report, &sizes));
    let arr = object.optional("arr", |node| node.integer(report, 0, 1_000_000_000_000));
    let regulated = object.or("regulated", false, |node| node.boolean(report));
    let spiky = object.or("spiky", false, |node| node.boolean(report));
    let importance = object.or("importance", Importance::default(), |node| node.word(report, &weights));
    let synthetic = object.or("synthetic", false, |node| node.boolean(report));
    object.finish();
    Some(Business {
        size: size?,
        arr: arr?,
        regulated: regulated?,
        spiky: spiky?,
        importance: importance?,
        synthetic: synthetic?,
    })
}

fn overrides(node: &Node<'_>, report: &Report) -> Option<Overrides> {
    let object = node.object(report)?;
    let quotas = object.or("quotas", BTreeMap::new(), |node| deviations(node, report, quantity));
    let rate_limits = object.or("rateLimits", BTreeMap::new(), |node| deviations(node, report, rate));
    let features = object.or("features", BTreeMap::new(), |node| deviations(node, report, feature));
    let isolation = object.optional("isolation", |node| deviation(node, report, level));
    object.finish();
    Some(Overrides { quotas: quotas?, rate_limits: rate_limits?, features: features?, isolation: isolation? })
}

pub(super) fn level(node: &Node<'_>, report: &Report) -> Option<Isolation> {
    node.word(report, &Isolation::ALL.map(|level| (level.as_str(), level)))
}

fn deviations<T>(
    node: &Node<'_>,
    report: &Report,
    read: impl Fn(&Node<'_>, &Report) -> Option<T>,
) -> Option<BTreeMap<String, Override<T>>> {
    let entries = node.entries(report, 64)?;
    let read: Vec<_> = entries
        .into_iter()
        .map(|(name, node)| {
            let name = key(name, &node, report);
            let held = deviation(&node, report, &read);
            Some((name?, held?))
        })
        .collect();
    read.into_iter().collect()
}

fn deviation<T>(
    node: &Node<'_>,
    report: &Report,
    read: impl Fn(&Node<'_>, &Report) -> Option<T>,
) -> Option<Override<T>> {
    let object = node.object(report)?;
    let value = object.required("value").and_then(|node| read(&node, report));
    let reason = object.required("reason").and_then(|node| node.line(report, 500));
    let until = object.optional("until", |node| time(node, report));
    object.finish();
    Some(Override { value: value?, reason: reason?, until: until? })
}
