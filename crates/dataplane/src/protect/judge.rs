//! The guard's rules: what a place's objects must look like, and what to do where they do not.
//!
//! Pure: facts in, deviations out. The same judgement protects after a migration, repairs, and reports drift, so
//! what is protected is never reported and what is reported as repairable is what protecting changes.

use tenantry_pg::{Ident, IdentError, Sql};

use crate::catalog::{Catalog, Column, Constraint, Grant, Relation};
use crate::error::{Reason, Refusal};
use crate::finding::{Finding, FindingKind};
use crate::names::Place;

/// The one policy of a tenant table.
pub(crate) const POLICY: &str = "tenantry_tenant";
/// What the tenant column defaults to.
pub(crate) const CURRENT_TENANT: &str = "tenantry.current_tenant()";
const REGISTRY: &str = "tenantry.tenant";
const WRITE: &[&str] = &["DELETE", "INSERT", "SELECT", "UPDATE"];
const READ: &[&str] = &["SELECT"];
const USE: &[&str] = &["USAGE"];

/// What is wanted of a place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub place: &'a Place,
    /// The app's tenant column.
    pub key: Option<&'a Ident>,
    /// Tables that all tenants read and none writes.
    pub references: &'a [String],
}

/// One thing that is not as the rules want it.
#[derive(Debug)]
pub(crate) struct Deviation {
    pub kind: FindingKind,
    pub object: String,
    pub detail: String,
    pub remedy: Remedy,
}

/// What can be done about it.
#[derive(Debug)]
pub(crate) enum Remedy {
    /// These statements set it right.
    Run(Sql),
    /// This change of a table does. Several of one table go together: each one alone would have the server read the
    /// table's description anew. What has the server look at rows is done as the owner: planning that calls functions of the app.
    Alter { table: Sql, change: Sql, as_owner: bool },
    /// The app's author has to change the structure.
    Refuse(Refusal),
    /// Somebody has to look.
    Report,
}

impl Deviation {
    pub fn is_repairable(&self) -> bool {
        matches!(self.remedy, Remedy::Run(_) | Remedy::Alter { .. })
    }

    pub fn finding(&self) -> Finding {
        Finding {
            kind: self.kind,
            object: self.object.clone(),
            repairable: self.is_repairable(),
            detail: self.detail.clone(),
        }
    }
}

/// Compares facts with rules. Remedies are in an order in which they can run.
pub(crate) fn judge(catalog: &Catalog, rules: &Rules<'_>) -> Result<Vec<Deviation>, IdentError> {
    let mut bench = Bench { rules, catalog, found: Vec::new() };
    bench.namespace()?;
    for (name, relation) in &catalog.relations {
        bench.relation(name, relation)?;
    }
    bench.functions()?;
    Ok(bench.found)
}

struct Bench<'a> {
    rules: &'a Rules<'a>,
    catalog: &'a Catalog,
    found: Vec<Deviation>,
}

impl Bench<'_> {
    fn namespace(&mut self) -> Result<(), IdentError> {
        let schema = &self.rules.place.schema;
        let object = format!("schema {}", schema.as_str());
        let Some(namespace) = &self.catalog.namespace else {
            self.report(FindingKind::SchemaMissing, object, "does not exist");
            return Ok(());
        };
        if namespace.owner != "@own" {
            let sql =
                Sql::new("ALTER SCHEMA ").ident(schema).push(" OWNER TO ").ident(&self.rules.place.owner).push("; ");
            self.run(FindingKind::OwnerChanged, object.clone(), owned_by(&namespace.owner), sql);
        }
        self.grants(&object, &namespace.grants, USE, &Sql::new("SCHEMA ").ident(schema))
    }

    fn relation(&mut self, name: &str, relation: &Relation) -> Result<(), IdentError> {
        let table = Ident::new(name)?;
        let full = Sql::new("").ident(&self.rules.place.schema).push(".").ident(&table);
        let object = format!("{} {name}", word(relation.kind));
        if relation.owner != "@own" {
            let sql = Sql::new("ALTER TABLE ").sql(&full).push(" OWNER TO ").ident(&self.rules.place.owner).push("; ");
            self.run(FindingKind::OwnerChanged, object.clone(), owned_by(&relation.owner), sql);
        }
        let refused = self.refusals(name, relation);
        if let Some(key) = self.rules.key
            && !refused
            && matches!(relation.kind, 'r' | 'p')
            && !self.is_reference(name)
            && let Some(column) = relation.columns.get(key.as_str())
        {
            self.guard(&object, name, relation, key, column, &full)?;
        }
        let wanted = self.wanted(name, relation);
        let on = Sql::new(if relation.kind == 'S' { "SEQUENCE " } else { "TABLE " }).sql(&full);
        let mut held = relation.grants.clone();
        // A right on a column counts as one on the table that is not wanted; revoking on the table takes both.
        for (column, grant) in
            relation.columns.iter().flat_map(|(name, column)| column.grants.iter().map(move |g| (name, g)))
        {
            held.push(Grant { grantee: grant.grantee.clone(), privilege: format!("{} ({column})", grant.privilege) });
        }
        self.grants(&object, &held, wanted, &on)
    }

    /// Row-level security, default, reference and index of a tenant table that keeps the structural rules.
    fn guard(
        &mut self,
        object: &str,
        name: &str,
        relation: &Relation,
        key: &Ident,
        column: &Column,
        full: &Sql,
    ) -> Result<(), IdentError> {
        if column.default.as_deref() != Some(CURRENT_TENANT) {
            let change = Sql::new("ALTER COLUMN ").ident(key).push(" SET DEFAULT tenantry.current_tenant()");
            let found = column.default.as_deref().unwrap_or("nothing");
            let detail = format!("defaults to {found}");
            self.alter(FindingKind::DefaultChanged, format!("column {name}.{}", key.as_str()), detail, full, change);
        }
        if self.rules.place.is_common() {
            self.reference(object, relation, key, full)?;
        }
        if !relation.row_security {
            let change = Sql::new("ENABLE ROW LEVEL SECURITY");
            self.alter(FindingKind::RlsOff, object, "row-level security is off", full, change);
        }
        if !relation.forced {
            let change = Sql::new("FORCE ROW LEVEL SECURITY");
            self.alter(FindingKind::ForceOff, object, "row-level security does not bind the owner", full, change);
        }
        let leads =
            relation.indexes.iter().any(|index| index.valid && !index.partial && starts_with(&index.columns, key));
        if self.rules.place.is_common() && !leads && !relation.child {
            let sql = Sql::new("CREATE INDEX ON ").sql(full).push(" (").ident(key).push("); ");
            self.run(FindingKind::IndexMissing, object, format!("has no index that starts with {}", key.as_str()), sql);
        }
        self.policies(object, relation, key, full)
    }

    fn policies(&mut self, object: &str, relation: &Relation, key: &Ident, full: &Sql) -> Result<(), IdentError> {
        // The server shows a name with or without quotes; both say the same.
        let canonical = [key.as_str().to_owned(), key.to_string()]
            .map(|key| ["(", &key, " = ( SELECT ", CURRENT_TENANT, "))"].concat());
        let mut there = false;
        for policy in &relation.policies {
            let ours = policy.name == POLICY;
            let using = policy.using.as_deref().map(|text| text.replace(" AS current_tenant", ""));
            let right = policy.permissive
                && policy.command == "*"
                && policy.roles == "@public"
                && using.as_ref().is_some_and(|using| canonical.contains(using))
                && policy.check.is_none();
            if ours && right {
                there = true;
                continue;
            }
            // A restrictive policy of the app can only hide more, which is its own business.
            if !ours && !policy.permissive {
                continue;
            }
            let kind = if ours { FindingKind::PolicyChanged } else { FindingKind::PolicyExtra };
            let drop = Sql::new("DROP POLICY ").ident(&Ident::new(&policy.name)?).push(" ON ").sql(full).push("; ");
            let sql = if ours { drop.sql(&create_policy(full, key)) } else { drop };
            there |= ours;
            let text = using.unwrap_or_else(|| "nothing".to_owned());
            self.run(kind, object, format!("policy {} lets through {text}", policy.name), sql);
        }
        if !there {
            self.run(FindingKind::PolicyMissing, object, format!("has no policy {POLICY}"), create_policy(full, key));
        }
        Ok(())
    }

    /// Rows of unknown tenants cannot exist where each one refers to the registry.
    fn reference(&mut self, object: &str, relation: &Relation, key: &Ident, full: &Sql) -> Result<(), IdentError> {
        let registry = |constraint: &&Constraint| {
            constraint.kind == 'f'
                && constraint.target.as_deref() == Some(REGISTRY)
                && is_only(&constraint.columns, key.as_str())
                && is_only(&constraint.target_columns, "tenant_id")
        };
        let change = match relation.constraints.iter().find(registry) {
            Some(constraint) if constraint.validated => return Ok(()),
            Some(constraint) => Sql::new("VALIDATE CONSTRAINT ").ident(&Ident::new(&constraint.name)?),
            // A partition gets its parent's.
            None if relation.child => return Ok(()),
            None => {
                let taken = relation.constraints.iter().any(|constraint| constraint.name == POLICY);
                Sql::new(if taken { "DROP CONSTRAINT tenantry_tenant, " } else { "" })
                    .push("ADD CONSTRAINT tenantry_tenant FOREIGN KEY (")
                    .ident(key)
                    .push(") REFERENCES tenantry.tenant (tenant_id)")
            }
        };
        self.alter(FindingKind::ReferenceMissing, object, "does not refer to the registry of tenants", full, change);
        Ok(())
    }

    /// Rights of others than the owner: exactly `wanted` for the login, nothing for anybody else.
    fn grants(&mut self, object: &str, held: &[Grant], wanted: &[&'static str], on: &Sql) -> Result<(), IdentError> {
        let wanted = if self.rules.place.login.is_some() { wanted } else { &[] };
        let has = |privilege: &str| held.iter().any(|g| g.grantee == "@login" && g.privilege == privilege);
        let missing: Vec<_> = wanted.iter().copied().filter(|privilege| !has(privilege)).collect();
        let extra: Vec<_> =
            held.iter().filter(|g| g.grantee != "@login" || !wanted.contains(&g.privilege.as_str())).collect();
        let mut grantees: Vec<&str> = extra.iter().map(|grant| grant.grantee.as_str()).collect();
        grantees.sort_unstable();
        grantees.dedup();
        let mut grant_again = Sql::new("");
        if let (Some(login), false) = (&self.rules.place.login, wanted.is_empty()) {
            grant_again =
                Sql::new("GRANT ").push(list(wanted)).push(" ON ").sql(on).push(" TO ").ident(login).push("; ");
        }
        for grantee in &grantees {
            let privileges: Vec<_> =
                extra.iter().filter(|g| g.grantee == *grantee).map(|g| g.privilege.as_str()).collect();
            let revoke = Sql::new("REVOKE ALL ON ").sql(on).push(" FROM ").sql(&self.role(grantee)?).push(" CASCADE; ");
            let sql = if *grantee == "@login" { revoke.sql(&grant_again) } else { revoke };
            let who = grantee.trim_start_matches('@');
            self.run(FindingKind::GrantExtra, object, format!("{who} may {}", privileges.join(", ")), sql);
        }
        if !missing.is_empty() {
            self.run(FindingKind::GrantMissing, object, format!("login may not {}", missing.join(", ")), grant_again);
        }
        Ok(())
    }

    fn functions(&mut self) -> Result<(), IdentError> {
        let functions = &self.catalog.functions;
        for function in functions {
            let object = format!("function {}", function.signature);
            if self.rules.place.is_common() {
                for (broken, reason) in [(function.definer, Reason::Definer), (function.leakproof, Reason::Leakproof)] {
                    if broken {
                        self.refuse(&function.signature, object.clone(), reason);
                    }
                }
            }
            if function.owner != "@own" {
                self.report(FindingKind::OwnerChanged, object, &owned_by(&function.owner));
            }
        }
        let schema = &self.rules.place.schema;
        let all = Sql::new("ALL ROUTINES IN SCHEMA ").ident(schema);
        // Rights on functions are set for all of them at once, so one that deviates stands for the others.
        let Some(odd) = functions.iter().find(|f| !self.may_only_execute(&f.grants)) else { return Ok(()) };
        let mut sql = Sql::new("");
        let mut others: Vec<&str> = functions.iter().flat_map(|f| &f.grants).map(|g| g.grantee.as_str()).collect();
        others.sort_unstable();
        others.dedup();
        for grantee in others.iter().filter(|grantee| **grantee != "@login") {
            sql = sql.push("REVOKE ALL ON ").sql(&all).push(" FROM ").sql(&self.role(grantee)?).push(" CASCADE; ");
        }
        if let Some(login) = &self.rules.place.login {
            sql = sql.push("GRANT EXECUTE ON ").sql(&all).push(" TO ").ident(login).push("; ");
        }
        let kind = if odd.grants.iter().any(|g| g.grantee != "@login") {
            FindingKind::GrantExtra
        } else {
            FindingKind::GrantMissing
        };
        let object = format!("function {}", odd.signature);
        self.run(kind, object, "not exactly the login may execute it".to_owned(), sql);
        Ok(())
    }

    fn may_only_execute(&self, grants: &[Grant]) -> bool {
        match &self.rules.place.login {
            None => grants.is_empty(),
            Some(_) => matches!(grants, [only] if only.grantee == "@login" && only.privilege == "EXECUTE"),
        }
    }

    fn wanted(&self, name: &str, relation: &Relation) -> &'static [&'static str] {
        match relation.kind {
            'S' if relation.of_identity => &[],
            'S' => USE,
            'm' => READ,
            _ if self.is_reference(name) => READ,
            _ => WRITE,
        }
    }

    fn is_reference(&self, name: &str) -> bool {
        self.rules.references.iter().any(|reference| reference == name)
    }

    fn role(&self, grantee: &str) -> Result<Sql, IdentError> {
        Ok(match (grantee, &self.rules.place.login) {
            ("@public", _) => Sql::new("PUBLIC"),
            ("@login", Some(login)) => Sql::from(login),
            (other, _) => Sql::from(&Ident::new(other)?),
        })
    }

    /// Collects what only the app's author can change. True when the table cannot be guarded as it is.
    fn refusals(&mut self, name: &str, relation: &Relation) -> bool {
        let reasons = super::rules::broken(name, relation, self.rules, self.catalog);
        let refused = !reasons.is_empty();
        for reason in reasons {
            self.refuse(name, format!("{} {name}", word(relation.kind)), reason);
        }
        refused
    }

    fn run(&mut self, kind: FindingKind, object: impl Into<String>, detail: impl Into<String>, sql: Sql) {
        self.found.push(Deviation { kind, object: object.into(), detail: detail.into(), remedy: Remedy::Run(sql) });
    }

    fn alter(
        &mut self,
        kind: FindingKind,
        object: impl Into<String>,
        detail: impl Into<String>,
        full: &Sql,
        change: Sql,
    ) {
        let as_owner = kind == FindingKind::ReferenceMissing;
        let remedy = Remedy::Alter { table: full.clone(), change, as_owner };
        self.found.push(Deviation { kind, object: object.into(), detail: detail.into(), remedy });
    }

    fn refuse(&mut self, name: &str, object: String, reason: Reason) {
        let detail = reason.to_string();
        let remedy = Remedy::Refuse(Refusal { object: name.to_owned(), reason });
        self.found.push(Deviation { kind: FindingKind::Unguarded, object, detail, remedy });
    }

    fn report(&mut self, kind: FindingKind, object: String, detail: &str) {
        self.found.push(Deviation { kind, object, detail: detail.to_owned(), remedy: Remedy::Report });
    }
}

fn create_policy(full: &Sql, key: &Ident) -> Sql {
    Sql::new("CREATE POLICY ")
        .push(POLICY)
        .push(" ON ")
        .sql(full)
        .push(" USING (")
        .ident(key)
        .push(" = (SELECT tenantry.current_tenant())); ")
}

fn list(privileges: &[&'static str]) -> &'static str {
    match privileges {
        [only] => only,
        _ => "SELECT, INSERT, UPDATE, DELETE",
    }
}

fn owned_by(owner: &str) -> String {
    format!("belongs to {owner}")
}

fn is_only(columns: &[String], name: &str) -> bool {
    matches!(columns, [only] if only == name)
}

fn starts_with(columns: &[String], key: &Ident) -> bool {
    columns.first().is_some_and(|first| first == key.as_str())
}

/// The word for a kind of relation.
pub(crate) fn word(kind: char) -> &'static str {
    match kind {
        'v' => "view",
        'm' => "materialized view",
        'f' => "foreign table",
        'S' => "sequence",
        _ => "table",
    }
}
