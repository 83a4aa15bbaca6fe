//! The terms of a plan: price, hosts, blueprint, databases, customization, exports, where users are kept.

use std::collections::{BTreeMap, BTreeSet};

use tenantry_domain::plan::terms::{
    Customization, CustomizationClass, Export, Host, Identity, Price, SecondFactor, SignIn, Terms,
};

use super::bounds::key;
use super::read::{Node, Object, Report};

/// More than any price, and far from what a sum could overflow at.
const MOST_MINOR: u64 = 1_000_000_000_000;

/// Reads the terms out of a plan's `spec`, of whose fields they are some.
pub(super) fn terms(object: &Object<'_, '_>, report: &Report) -> Option<Terms> {
    let title = object.optional("title", |node| node.line(report, 100));
    let price = object.optional("price", |node| price(node, report));
    let blueprint = object.optional("blueprint", |node| node.check(report, label));
    let databases = object.or("databases", BTreeMap::new(), |node| databases(node, report));
    let host = object.optional("host", |node| word(node, report, Host::ALL, Host::as_str));
    let customization = object.optional("customization", |node| customization(node, report));
    let exports = object.optional("exports", |node| {
        let ways = node.list(report, Export::ALL.len(), |node| word(node, report, Export::ALL, Export::as_str))?;
        super::bounds::unique(&ways, node.path(), report).then(|| ways.into_iter().collect::<BTreeSet<_>>())
    });
    let identity = object.optional("identity", |node| word(node, report, Identity::ALL, Identity::as_str));
    let sign_in = object.optional("signIn", |node| {
        let ways = node.list(report, SignIn::ALL.len(), |node| word(node, report, SignIn::ALL, SignIn::as_str))?;
        super::bounds::unique(&ways, node.path(), report).then(|| ways.into_iter().collect::<BTreeSet<_>>())
    });
    let second_factor =
        object.optional("secondFactor", |node| word(node, report, SecondFactor::ALL, SecondFactor::as_str));
    Some(Terms {
        title: title?,
        price: price?,
        blueprint: blueprint?,
        databases: databases?,
        host: host?,
        customization: customization?,
        exports: exports?,
        identity: identity?,
        sign_in: sign_in?,
        second_factor: second_factor?,
    })
}

fn label(text: &str) -> Result<String, tenantry_domain::name::NameError> {
    tenantry_domain::name::check_label(text, 1, 50).map(|()| text.to_owned())
}

fn price(node: &Node<'_>, report: &Report) -> Option<Price> {
    let object = node.object(report)?;
    let currency = object.required("currency").and_then(|node| node.line(report, 3));
    let amount = |node: &Node<'_>| node.integer(report, 0, MOST_MINOR);
    let monthly_minor = object.required("monthlyMinor").and_then(|node| amount(&node));
    let per_user_minor = object.optional("perUserMinor", amount);
    object.finish();
    Some(Price { currency: currency?, monthly_minor: monthly_minor?, per_user_minor: per_user_minor? })
}

fn databases(node: &Node<'_>, report: &Report) -> Option<BTreeMap<String, u32>> {
    let read = node.entries(report, 16)?.into_iter().map(|(name, node)| {
        let name = key(name, &node, report);
        let count = node.integer(report, 0, 1_000).and_then(|count| u32::try_from(count).ok());
        Some((name?, count?))
    });
    // All are read before one failure counts, so that all complaints are noted.
    let read: Vec<_> = read.collect();
    read.into_iter().collect()
}

fn customization(node: &Node<'_>, report: &Report) -> Option<Customization> {
    let object = node.object(report)?;
    let class = object
        .required("class")
        .and_then(|node| word(&node, report, CustomizationClass::ALL, CustomizationClass::as_str));
    let settings = object.or("settings", BTreeSet::new(), |node| {
        let keys = node.list(report, 200, |node| node.line(report, 100))?;
        Some(keys.into_iter().collect())
    });
    object.finish();
    Some(Customization { class: class?, settings: settings? })
}

fn word<T: Copy>(node: &Node<'_>, report: &Report, all: &[T], name: impl Fn(T) -> &'static str) -> Option<T> {
    let words: Vec<(&str, T)> = all.iter().map(|one| (name(*one), *one)).collect();
    node.word(report, &words)
}
