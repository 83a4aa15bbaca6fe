//! The rules that only the app's author can keep: tenant column, keys, and objects that no policy reaches.

use tenantry_pg::Ident;

use super::judge::Rules;
use crate::catalog::{Catalog, Column, Relation};
use crate::error::Reason;

/// The rules that a relation breaks.
pub(crate) fn broken(name: &str, relation: &Relation, rules: &Rules<'_>, catalog: &Catalog) -> Vec<Reason> {
    let Some(key) = rules.key else { return Vec::new() };
    let reference = rules.references.iter().any(|reference| reference == name);
    let mut reasons = Vec::new();
    match relation.kind {
        'v' | 'm' | 'f' if rules.place.is_common() => reasons.extend(unguardable(relation)),
        'r' | 'p' => {
            match (relation.columns.get(key.as_str()), reference) {
                (None, true) => {}
                (None, false) => return vec![Reason::NoTenantKey { key: text(key) }],
                (Some(_), true) => return vec![Reason::ReferenceWithTenantKey { key: text(key) }],
                (Some(column), false) => reasons.extend(column_reasons(column, key)),
            }
            if rules.place.is_common() {
                reasons.extend(key_reasons(relation, reference, key, rules, catalog));
                if relation.unlogged {
                    reasons.push(Reason::Unlogged);
                }
                reasons.extend(relation.rules.iter().map(|name| Reason::Rule { name: name.clone() }));
            }
        }
        _ => {}
    }
    reasons
}

fn unguardable(relation: &Relation) -> Option<Reason> {
    match relation.kind {
        'm' => Some(Reason::Materialized),
        'f' => Some(Reason::ForeignTable),
        _ => {
            let option = |option: &str| {
                let (name, value) = option.split_once('=').unwrap_or((option, "true"));
                name == "security_invoker" && matches!(value.to_ascii_lowercase().as_str(), "true" | "on" | "yes" | "1")
            };
            (!relation.options.split(',').any(option)).then_some(Reason::ViewOfOwner)
        }
    }
}

fn column_reasons(column: &Column, key: &Ident) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if !column.is_uuid {
        reasons.push(Reason::KeyType { key: text(key), found: column.type_name.clone() });
    }
    if !column.not_null {
        reasons.push(Reason::KeyNullable { key: text(key) });
    }
    if column.generated {
        reasons.push(Reason::KeyGenerated { key: text(key) });
    }
    reasons
}

fn key_reasons(relation: &Relation, reference: bool, key: &Ident, rules: &Rules<'_>, catalog: &Catalog) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let holds_key = |columns: &[String]| columns.iter().any(|column| column == key.as_str());
    if !reference {
        for index in relation.indexes.iter().filter(|index| index.excludes && !holds_key(&index.columns)) {
            let columns = index.columns.join(", ");
            reasons.push(Reason::UniqueWithoutKey { index: index.name.clone(), columns, key: text(key) });
        }
    }
    for constraint in relation.constraints.iter().filter(|constraint| constraint.kind == 'f') {
        let target = constraint.target.clone().unwrap_or_default();
        let to_reference = rules.references.contains(&target) && catalog.relations.contains_key(&target);
        if to_reference {
            continue;
        }
        let name = constraint.name.clone();
        if reference {
            reasons.push(Reason::ReferenceToTenantTable { constraint: name, target });
            continue;
        }
        let to_registry = target == "tenantry.tenant";
        let pairs = constraint.columns.iter().zip(&constraint.target_columns);
        let paired = pairs.into_iter().any(|(from, to)| from == key.as_str() && (to == key.as_str() || to_registry));
        if !paired {
            reasons.push(Reason::ForeignKeyWithoutKey { constraint: name, target, key: text(key) });
        }
    }
    reasons
}

fn text(key: &Ident) -> String {
    key.as_str().to_owned()
}
