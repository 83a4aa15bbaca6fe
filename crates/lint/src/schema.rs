//! Which tables hold tenants' rows: declared by the app, or learned from `CREATE TABLE`.
//!
//! INVARIANT: a table that nobody declared and no input created counts as a tenant table, unless the caller chose
//! otherwise: an unknown name must not be a way around the rules.

use std::collections::BTreeMap;

/// What a table is to tenants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Holds rows of several tenants, told apart by the tenant column.
    Tenant,
    /// Shared on purpose: all tenants read it.
    Reference,
    /// Known, without a tenant column, and not declared as shared. The rule about its definition speaks of it.
    Plain,
    /// PostgreSQL's or Tenantry's own.
    System,
}

/// How to treat a table that is neither declared nor created in the inputs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Unknown {
    /// As a tenant table.
    #[default]
    Tenant,
    /// As a table that is none of our business.
    Ignore,
}

/// A relation as far as statements can be judged by it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Relation {
    /// The columns in order; absent when only the name is known.
    pub columns: Option<Vec<String>>,
    /// Columns of primary keys, unique constraints and unique indexes, by the name of the constraint.
    pub keys: BTreeMap<String, Vec<String>>,
    /// Said by the app to be shared.
    pub reference: bool,
    /// Inherits the tenant column: a partition, a child, or a copy of a tenant table.
    pub inherits: Option<(Option<String>, String)>,
    /// Lives only as long as a session or a transaction.
    pub temporary: bool,
}

/// Everything known about the tables.
#[derive(Debug, Clone)]
pub struct Schema {
    tenant_column: Option<String>,
    relations: BTreeMap<String, Vec<(Option<String>, Relation)>>,
    /// Tables and views of the session alone.
    temporary: BTreeMap<String, Relation>,
    unknown: Unknown,
}

impl Schema {
    /// A schema whose tenant tables have this column. Names are as PostgreSQL stores them, without quotes.
    pub fn new(tenant_column: impl Into<String>) -> Self {
        Self {
            tenant_column: Some(tenant_column.into()),
            relations: BTreeMap::new(),
            temporary: BTreeMap::new(),
            unknown: Unknown::Tenant,
        }
    }

    /// A schema of an app without a tenant column: each tenant has tables of its own.
    pub fn without_tenant_column() -> Self {
        Self { tenant_column: None, relations: BTreeMap::new(), temporary: BTreeMap::new(), unknown: Unknown::Ignore }
    }

    /// Declares tables that all tenants read; `name` or `schema.name`.
    #[must_use]
    pub fn reference_tables<S: AsRef<str>>(mut self, tables: impl IntoIterator<Item = S>) -> Self {
        for table in tables {
            let (schema, name) = parts(table.as_ref());
            self.entry(schema, name).reference = true;
        }
        self
    }

    /// Says what a table is that nothing is known of.
    #[must_use]
    pub const fn unknown_tables(mut self, unknown: Unknown) -> Self {
        self.unknown = unknown;
        self
    }

    /// The tenant column, if the app has one.
    pub fn tenant_column(&self) -> Option<&str> {
        self.tenant_column.as_deref()
    }

    /// Whether anything is known besides the tenant column.
    pub fn is_empty(&self) -> bool {
        self.relations.is_empty()
    }

    /// The relation of exactly this schema and name, made when it is not there.
    pub fn entry(&mut self, schema: Option<&str>, name: &str) -> &mut Relation {
        let same = self.relations.entry(name.to_owned()).or_default();
        let index = same.iter().position(|(known, _)| known.as_deref() == schema).unwrap_or_else(|| {
            same.push((schema.map(str::to_owned), Relation::default()));
            same.len() - 1
        });
        &mut same[index].1
    }

    /// The relation that a name means: of that schema, of the search path, or the only one that there is. Where several are
    /// possible, one of tenants; a table of the session hides none of these.
    pub fn find(&self, schema: Option<&str>, name: &str, path: &[String]) -> Option<&Relation> {
        let temporary = self.temporary.get(name);
        match schema {
            Some(schema) if is_temporary_schema(schema) => temporary,
            Some(_) => self.stored(schema, name, path),
            None => match (temporary, self.stored(None, name, path)) {
                (Some(_), Some(stored)) if self.is_of_tenants(stored) => Some(stored),
                (Some(temporary), _) => Some(temporary),
                (None, stored) => stored,
            },
        }
    }

    fn stored(&self, schema: Option<&str>, name: &str, path: &[String]) -> Option<&Relation> {
        let same = self.relations.get(name)?;
        let of = |wanted: Option<&str>| same.iter().find(|(known, _)| known.as_deref() == wanted).map(|(_, it)| it);
        match schema {
            // A migration that names no schema lands wherever the search path points, by itself in `public`.
            Some("public") => {
                self.strictest(same.iter().filter(|(known, _)| known.as_deref().is_none_or(|it| it == "public")))
            }
            Some(schema) => of(Some(schema)).or_else(|| of(None)),
            None => path.iter().find_map(|schema| of(Some(schema))).or_else(|| self.strictest(same.iter())),
        }
    }

    /// What the app says of a name comes first, then whatever may hold rows of tenants.
    fn strictest<'s>(&self, of: impl Iterator<Item = &'s (Option<String>, Relation)>) -> Option<&'s Relation> {
        of.max_by_key(|(known, it)| (known.is_none() && it.reference, self.is_of_tenants(it), known.is_none()))
            .map(|(_, it)| it)
    }

    /// Makes a table or view known that lives in the session alone.
    pub fn temporary(&mut self, name: String, relation: Relation) {
        self.temporary.insert(name, relation);
    }

    /// Whether a table of the session has this name.
    pub fn has_temporary(&self, name: &str) -> bool {
        self.temporary.contains_key(name)
    }

    /// Whether the session has any table of its own.
    pub fn has_any_temporary(&self) -> bool {
        !self.temporary.is_empty()
    }

    /// Forgets a table of the session.
    pub fn forget_temporary(&mut self, name: &str) {
        self.temporary.remove(name);
    }

    /// Forgets all tables of the session.
    pub fn forget_all_temporary(&mut self) {
        self.temporary.clear();
    }

    /// What a table is, by its name as written in a statement.
    pub fn class(&self, schema: Option<&str>, name: &str, path: &[String]) -> Class {
        if is_system(schema, name) {
            return Class::System;
        }
        let Some(tenant_column) = &self.tenant_column else { return Class::Plain };
        let _ = tenant_column;
        match self.find(schema, name, path) {
            Some(relation) if relation.reference => Class::Reference,
            Some(relation) if relation.temporary => Class::Plain,
            Some(relation) => {
                if self.has_tenant_column(relation) || self.inherits_tenant(relation, path, 0) {
                    Class::Tenant
                } else if relation.columns.is_some() {
                    Class::Plain
                } else {
                    self.of_unknown()
                }
            }
            None => self.of_unknown(),
        }
    }

    const fn of_unknown(&self) -> Class {
        match self.unknown {
            Unknown::Tenant => Class::Tenant,
            Unknown::Ignore => Class::Plain,
        }
    }

    fn has_tenant_column(&self, relation: &Relation) -> bool {
        let columns = relation.columns.as_deref().unwrap_or_default();
        self.tenant_column.as_ref().is_some_and(|tenant| columns.contains(tenant))
    }

    /// Whether a relation has the tenant column, or may have it from another.
    fn is_of_tenants(&self, relation: &Relation) -> bool {
        self.has_tenant_column(relation) || relation.inherits.is_some()
    }

    fn inherits_tenant(&self, relation: &Relation, path: &[String], depth: usize) -> bool {
        // Inheritance of any real schema is flatter; a circle cannot be created, only written down.
        let Some((schema, name)) = relation.inherits.as_ref().filter(|_| depth < 8) else { return false };
        match self.find(schema.as_deref(), name, path) {
            Some(parent) => self.has_tenant_column(parent) || self.inherits_tenant(parent, path, depth + 1),
            None => self.unknown == Unknown::Tenant,
        }
    }
}

/// Catalogs, and the schemas that Tenantry keeps in a cell.
fn is_system(schema: Option<&str>, name: &str) -> bool {
    match schema {
        Some(schema) => matches!(schema, "pg_catalog" | "information_schema" | "tenantry" | "seal" | "pg_toast"),
        None => name.starts_with("pg_") || name.starts_with("information_schema."),
    }
}

/// The schema of what lives in the session alone.
pub fn is_temporary_schema(schema: &str) -> bool {
    schema == "pg_temp" || schema.starts_with("pg_temp_")
}

fn parts(name: &str) -> (Option<&str>, &str) {
    name.rsplit_once('.').map_or((None, name), |(schema, name)| (Some(schema), name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(schema: Option<&str>, name: &str, columns: &[&str]) -> Schema {
        let mut known = Schema::new("tenant_id").reference_tables(["countries"]);
        known.entry(schema, name).columns = Some(columns.iter().map(|column| (*column).to_owned()).collect());
        known
    }

    #[test]
    fn unknown_tables_are_tenants() {
        let known = with(None, "orders", &["tenant_id", "id"]);
        assert_eq!(known.class(None, "anything", &[]), Class::Tenant);
        assert_eq!(known.class(None, "countries", &[]), Class::Reference);
        assert_eq!(known.class(Some("app"), "countries", &[]), Class::Reference);
        assert_eq!(known.class(None, "pg_class", &[]), Class::System);
        let ignoring = known.unknown_tables(Unknown::Ignore);
        assert_eq!(ignoring.class(None, "anything", &[]), Class::Plain);
        assert_eq!(ignoring.class(Some("app"), "orders", &[]), Class::Tenant);
    }

    #[test]
    fn the_search_path_decides_between_namesakes() {
        let mut known = with(Some("app"), "events", &["tenant_id"]);
        known.entry(Some("audit"), "events").columns = Some(vec!["id".to_owned()]);
        let path = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(known.class(None, "events", &path(&["audit", "app"])), Class::Plain);
        assert_eq!(known.class(None, "events", &path(&["app"])), Class::Tenant);
        assert_eq!(known.class(None, "events", &[]), Class::Tenant, "the stricter one when nothing decides");
        assert_eq!(known.class(Some("audit"), "events", &[]), Class::Plain);
    }

    #[test]
    fn tables_of_the_session_hide_no_tenants() {
        let mut known = with(Some("public"), "users", &["tenant_id", "id"]);
        for name in ["users", "picked"] {
            known.temporary(name.to_owned(), Relation { temporary: true, ..Relation::default() });
        }
        assert_eq!(known.class(None, "users", &[]), Class::Tenant);
        assert_eq!(known.class(None, "picked", &[]), Class::Plain);
        assert_eq!(known.class(Some("pg_temp"), "users", &[]), Class::Plain);
        assert_eq!(known.class(Some("public"), "picked", &[]), Class::Tenant, "nothing is known of that one");
        known.forget_temporary("picked");
        assert_eq!(known.class(None, "picked", &[]), Class::Tenant);
    }

    #[test]
    fn no_schema_and_public_are_one() {
        let mut known = with(Some("public"), "users", &["tenant_id", "id"]);
        known.entry(None, "users").columns = Some(vec!["id".to_owned()]);
        assert_eq!(known.class(None, "users", &[]), Class::Tenant);
        assert_eq!(known.class(Some("public"), "users", &[]), Class::Tenant);
        assert_eq!(known.class(Some("audit"), "users", &[]), Class::Plain);
    }

    #[test]
    fn partitions_take_after_their_parent() {
        let mut known = with(None, "events", &["tenant_id"]);
        let child = known.entry(None, "events_2026");
        child.columns = Some(Vec::new());
        child.inherits = Some((None, "events".to_owned()));
        assert_eq!(known.class(None, "events_2026", &[]), Class::Tenant);
    }
}
