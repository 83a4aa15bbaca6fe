//! Judges the policies of tenant tables by what their expressions say.
//!
//! The server's text of an expression is parsed and proven, not searched for patterns: whatever is not the comparison
//! of the tenant column with a context that no session can choose, is an issue.

mod judge;
mod lex;
mod parse;

use std::collections::BTreeMap;

use serde::Deserialize;
use tenantry_pg::{Ident, Sql};

use judge::{Function, Issue, Knowledge, judge};

/// The facts that this module reads, as checks of the catalog: one row for all policies of one text, and one a function
/// that some policy calls. Deparsing costs far more than all else here, so equal trees are deparsed once: the same tree at
/// the same tenant column has the same meaning, whatever the table. Only policies that show rows matter: a restrictive
/// one can only hide more.
pub(crate) const POLICIES: &str = "
SELECT NULL::text AS object,
       json_build_object('places', g.places, 'column', g.tname, 'command', g.polcmd,
           'using', pg_get_expr(y.polqual, y.polrelid), 'check', pg_get_expr(y.polwithcheck, y.polrelid))::text AS detail,
       NULL::text AS fix_sql
  FROM (SELECT min(p.oid) AS first, t.tname, p.polcmd, json_agg(json_build_array(t.nspname, t.relname, p.polname)) AS places
          FROM tenant_table t JOIN pg_policy p ON p.polrelid = t.oid WHERE t.common AND p.polpermissive
         GROUP BY sha256(convert_to(p.polqual::text, 'UTF8')), sha256(convert_to(p.polwithcheck::text, 'UTF8')), p.polcmd, t.tcol, t.tname) AS g
  JOIN pg_policy y ON y.oid = g.first";

/// See [`POLICIES`]. Functions that are called by such functions are among them.
pub(crate) const FUNCTIONS: &str = "
SELECT format('%s.%s', n.nspname, p.proname) AS object,
       json_build_object('volatile', p.provolatile = 'v', 'body', coalesce(pg_get_function_sqlbody(p.oid), p.prosrc))::text AS detail,
       NULL::text AS fix_sql
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE p.oid IN (SELECT d.refobjid FROM pg_depend d WHERE d.classid = 'pg_policy'::regclass AND d.refclassid = 'pg_proc'::regclass)
    OR (p.prorettype IN (SELECT t.ttype FROM tenant_table t)
        AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND p.pronargs = 0 AND EXISTS (SELECT FROM pg_policy))";

/// Which of the catalog's checks an issue belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flaw {
    /// The condition is always true.
    Constant,
    /// The tenant column is not compared with a context.
    Unbound,
    /// Every session may write what is compared with.
    Forgeable,
    /// The tenant column is wrapped, so that no index serves.
    Cast,
    /// The context is asked for once per row.
    Bare,
    /// A volatile function is called.
    Volatile,
    /// Rows may be written that may not be read.
    Check,
    /// The context is the role.
    Role,
    /// A function that is not understood.
    Unknown,
    /// An expression that is not understood.
    Opaque,
}

/// A flaw of one policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub flaw: Flaw,
    pub object: String,
    pub detail: String,
    pub fix_sql: Option<String>,
}

/// Where a policy is: schema, table, name.
#[derive(Debug, Clone, Deserialize)]
struct Place(String, String, String);

/// A row of [`POLICIES`].
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Policies {
    /// Schema, table and name of each.
    places: Vec<Place>,
    column: String,
    command: String,
    using: Option<String>,
    check: Option<String>,
}

/// A row of [`FUNCTIONS`].
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct FunctionFact {
    volatile: bool,
    body: String,
}

/// Judges all policies.
pub(crate) fn verdicts(
    policies: &[Policies],
    functions: Vec<(String, FunctionFact)>,
    sealed: bool,
    trusted: &[String],
) -> Vec<Verdict> {
    let mut known = Knowledge { sealed, trusted: trusted.to_vec(), functions: BTreeMap::new() };
    for (name, fact) in functions {
        known.functions.insert(name, Function { volatile: fact.volatile, body: fact.body });
    }
    let mut found = Vec::new();
    for group in policies {
        let flaws = flaws(group, &known);
        for place in &group.places {
            found.extend(flaws.iter().map(|(flaw, detail)| Verdict {
                flaw: *flaw,
                object: format!("policy {} on table {}.{}", place.2, place.0, place.1),
                detail: detail.clone(),
                fix_sql: replace(place, group, sealed),
            }));
        }
    }
    found
}

/// What is wrong with all policies of one text.
fn flaws(group: &Policies, known: &Knowledge) -> Vec<(Flaw, String)> {
    let of = |text: Option<&str>| text.map_or_else(Vec::new, |text| judge(text, &group.column, known));
    let (using, check) = (of(group.using.as_deref()), of(group.check.as_deref()));
    // An INSERT policy has only a check, which is then its whole condition.
    let main = if group.using.is_some() { &using } else { &check };
    let mut found: Vec<(Flaw, String)> = main.iter().map(|issue| flaw(group, issue)).collect();
    if group.using.is_some() && lets_more(&check) && !lets_more(&using) {
        found.push((Flaw::Check, format!("WITH CHECK ({})", group.check.as_deref().unwrap_or_default())));
    }
    found
}

/// Whether rows of other tenants pass, rather than rows of the right one slowly.
fn lets_more(issues: &[Issue]) -> bool {
    issues.iter().any(|issue| !matches!(issue, Issue::Bare(_) | Issue::Cast | Issue::Volatile(_)))
}

fn flaw(group: &Policies, issue: &Issue) -> (Flaw, String) {
    let text = group.using.as_deref().or(group.check.as_deref()).unwrap_or_default();
    match issue {
        Issue::Constant => (Flaw::Constant, format!("lets through {text}")),
        Issue::Unbound(why) => (Flaw::Unbound, format!("{why}: {text}")),
        Issue::Forgeable(name) => (Flaw::Forgeable, format!("trusts the setting {name}")),
        Issue::Cast => (Flaw::Cast, format!("wraps {}: {text}", group.column)),
        Issue::Bare(name) => (Flaw::Bare, format!("calls {name} for each row")),
        Issue::Volatile(name) => (Flaw::Volatile, format!("{name} is VOLATILE")),
        Issue::Role(name) => (Flaw::Role, format!("compares with {name}")),
        Issue::Unknown(name) => (Flaw::Unknown, format!("trusts {name}()")),
        Issue::Opaque => (Flaw::Opaque, format!("is {text}")),
    }
}

/// Puts the one policy of the seal in the place of this one. Without the seal there is no context to name, and nothing
/// is proposed.
fn replace(place: &Place, group: &Policies, sealed: bool) -> Option<String> {
    if !sealed {
        return None;
    }
    let (name, column) = (Ident::new(&place.2).ok()?, Ident::new(&group.column).ok()?);
    let table = Sql::new("").ident(&Ident::new(&place.0).ok()?).push(".").ident(&Ident::new(&place.1).ok()?);
    let drop = Sql::new("DROP POLICY ").ident(&name).push(" ON ").sql(&table);
    let sql = if place.2 == "tenantry_tenant" || group.command == "*" {
        drop.push("; CREATE POLICY ")
            .ident(&name)
            .push(" ON ")
            .sql(&table)
            .push(" USING (")
            .ident(&column)
            .push(" = (SELECT tenantry.current_tenant()))")
    } else {
        drop
    };
    Some(sql.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(using: Option<&str>, check: Option<&str>) -> Policies {
        Policies {
            places: vec![Place("app".to_owned(), "notes".to_owned(), "p".to_owned())],
            column: "tenant_id".to_owned(),
            command: "*".to_owned(),
            using: using.map(ToOwned::to_owned),
            check: check.map(ToOwned::to_owned),
        }
    }

    fn flaws(using: Option<&str>, check: Option<&str>) -> Vec<Flaw> {
        verdicts(&[policy(using, check)], Vec::new(), true, &[]).into_iter().map(|verdict| verdict.flaw).collect()
    }

    const GOOD: &str = "(tenant_id = ( SELECT tenantry.current_tenant() AS current_tenant))";

    #[test]
    fn using_and_check_are_judged_together() {
        assert_eq!(flaws(Some(GOOD), None), []);
        assert_eq!(flaws(Some(GOOD), Some(GOOD)), []);
        assert_eq!(flaws(Some(GOOD), Some("true")), [Flaw::Check]);
        assert_eq!(flaws(Some("true"), Some(GOOD)), [Flaw::Constant]);
        assert_eq!(flaws(Some("true"), Some("true")), [Flaw::Constant]);
        assert_eq!(flaws(None, Some("true")), [Flaw::Constant]);
        assert_eq!(flaws(None, Some(GOOD)), []);
        assert_eq!(
            flaws(Some(GOOD), Some("(app.parent(tenant_id) = ( SELECT tenantry.current_tenant() AS x))")),
            [Flaw::Check]
        );
    }

    #[test]
    fn the_proposed_policy_is_the_canonical_one() {
        let verdict = &verdicts(&[policy(Some("true"), None)], Vec::new(), true, &[])[0];
        let wanted = "DROP POLICY \"p\" ON \"app\".\"notes\"; CREATE POLICY \"p\" ON \"app\".\"notes\" \
                      USING (\"tenant_id\" = (SELECT tenantry.current_tenant()))";
        assert_eq!(verdict.fix_sql.as_deref(), Some(wanted));
        assert_eq!(verdicts(&[policy(Some("true"), None)], Vec::new(), false, &[])[0].fix_sql, None);
    }
}
