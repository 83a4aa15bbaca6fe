//! What a policy lets through.
//!
//! A policy is safe when one of its AND-ed parts is the comparison of the tenant column with a context that no session
//! can choose. All else of it can only hide more. Everything that is not proven safe is an issue.

use std::collections::BTreeMap;

use super::parse::{Expr, body, expression};

/// Settings of the server that only superusers, and whom they grant it, may write.
const PROTECTED: [&str; 4] =
    ["backtrace_functions", "log_min_duration_sample", "log_temp_files", "dynamic_library_path"];
/// Functions that only pass on or combine what they are given.
const NEUTRAL: [&str; 12] = [
    "nullif",
    "coalesce",
    "lower",
    "upper",
    "btrim",
    "trim",
    "replace",
    "split_part",
    "substr",
    "decode",
    "text",
    "uuid",
];
/// The context of databases that bear our seal.
pub(super) const SEALED: &str = "tenantry.current_tenant";
/// How many functions deep a context is followed.
const DEEPEST: usize = 4;

/// A function that a policy calls, as the catalog has it.
#[derive(Debug, Clone)]
pub(super) struct Function {
    pub volatile: bool,
    pub body: String,
}

/// What is known besides the policy.
#[derive(Debug, Default)]
pub(super) struct Knowledge {
    pub sealed: bool,
    /// Functions that the operator vouches for, as `schema.name`.
    pub trusted: Vec<String>,
    pub functions: BTreeMap<String, Function>,
}

/// Why an expression is not safe, the worst last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Issue {
    Bare(String),
    Cast,
    Role(&'static str),
    Volatile(String),
    Unknown(String),
    Opaque,
    Forgeable(String),
    Unbound(&'static str),
    Constant,
}

/// The issues of a policy's condition; none means that it lets through rows of the context's tenant only.
pub(super) fn judge(text: &str, column: &str, known: &Knowledge) -> Vec<Issue> {
    issues(&expression(text), column, known)
}

fn issues(expr: &Expr, column: &str, known: &Knowledge) -> Vec<Issue> {
    match expr {
        Expr::False | Expr::Null => Vec::new(),
        Expr::And(parts) => {
            let mut best: Option<Vec<Issue>> = None;
            for part in parts {
                let found = issues(part, column, known);
                if best.as_ref().is_none_or(|best| found.last() < best.last()) {
                    best = Some(found);
                }
            }
            best.unwrap_or_default()
        }
        Expr::Or(parts) => {
            let all: Vec<_> = parts.iter().map(|part| issues(part, column, known)).collect();
            match all.iter().find(|found| !found.is_empty()) {
                None => Vec::new(),
                Some(_) if all.iter().any(|found| found.last() == Some(&Issue::Constant)) => vec![Issue::Constant],
                Some(_) => vec![Issue::Unbound("an OR lets other rows through")],
            }
        }
        Expr::Opaque => vec![Issue::Opaque],
        Expr::Operator(name, left, right) if name == "=" => match (bound(left, column), bound(right, column)) {
            (Some(_), Some(_)) => vec![Issue::Unbound("the column is compared with itself")],
            (Some(plain), None) => compared(plain, right, known),
            (None, Some(plain)) => compared(plain, left, known),
            (None, None) => elsewhere(expr),
        },
        other => elsewhere(other),
    }
}

/// An expression that is no comparison of the tenant column.
fn elsewhere(expr: &Expr) -> Vec<Issue> {
    let mut sources = Vec::new();
    collect(expr, &mut sources);
    let constant = sources.iter().all(|source| matches!(source, Source::Literal));
    vec![if constant { Issue::Constant } else { Issue::Unbound("the tenant column is not compared") }]
}

/// How the tenant column stands in an expression that is compared.
enum Bound {
    Plain,
    /// Written in another way, which tells the same ids apart.
    Cast,
    /// Through something that may make the same of two tenants.
    Through(String),
}

/// Functions of PostgreSQL that tell the same ids apart; names as a policy shows them.
const SAME: [&str; 4] = ["text", "uuid", "lower", "upper"];

/// How the expression is the tenant column, if it is.
fn bound(expr: &Expr, column: &str) -> Option<Bound> {
    let beside = |inner: Bound| match inner {
        Bound::Plain => Bound::Cast,
        other => other,
    };
    match expr {
        Expr::Column(name) => (name == column).then_some(Bound::Plain),
        Expr::Cast(inner, true) => bound(inner, column).map(beside),
        Expr::Cast(inner, false) => bound(inner, column).map(|_| Bound::Through("a cast that cuts".to_owned())),
        Expr::Call(name, arguments) => {
            let inner = arguments.iter().find_map(|argument| bound(argument, column))?;
            let same = arguments.len() == 1 && SAME.contains(&name.as_str());
            Some(if same { beside(inner) } else { Bound::Through(name.clone()) })
        }
        _ => None,
    }
}

fn compared(column: Bound, context: &Expr, known: &Knowledge) -> Vec<Issue> {
    let mut found = Vec::new();
    match column {
        Bound::Plain => {}
        Bound::Cast => found.push(Issue::Cast),
        Bound::Through(name) => found.push(Issue::Unknown(name)),
    }
    let mut inner = context;
    while let Expr::Cast(next, _) = inner {
        inner = next;
    }
    let once = matches!(inner, Expr::Scalar(_));
    let mut sources = Vec::new();
    collect(context, &mut sources);
    if sources.iter().all(|source| matches!(source, Source::Literal)) {
        found.push(Issue::Unbound("the tenant column is compared with a constant"));
    }
    for source in &sources {
        found.extend(source.issue(known, 0));
        if once {
            continue;
        }
        match source {
            Source::Function(name) if known.functions.get(name).is_some_and(|function| function.volatile) => {
                found.push(Issue::Volatile(name.clone()));
            }
            Source::Function(name) => found.push(Issue::Bare(name.clone())),
            Source::Setting(_) => found.push(Issue::Bare("current_setting".to_owned())),
            _ => {}
        }
    }
    found.sort();
    found.dedup();
    found
}

/// Where a value comes from.
#[derive(Debug, PartialEq, Eq)]
enum Source {
    Literal,
    Column,
    Setting(Option<String>),
    Role(&'static str),
    Function(String),
    Opaque,
}

impl Source {
    fn issue(&self, known: &Knowledge, depth: usize) -> Option<Issue> {
        match self {
            Self::Literal => None,
            Self::Column => Some(Issue::Unbound("the tenant column is compared with another column")),
            Self::Opaque => Some(Issue::Opaque),
            Self::Role(name) => Some(Issue::Role(name)),
            Self::Setting(None) => Some(Issue::Opaque),
            Self::Setting(Some(name)) => {
                (!PROTECTED.contains(&name.to_ascii_lowercase().as_str())).then(|| Issue::Forgeable(name.clone()))
            }
            Self::Function(name) => function(name, known, depth),
        }
    }
}

fn function(name: &str, known: &Knowledge, depth: usize) -> Option<Issue> {
    if (known.sealed && name == SEALED) || known.trusted.iter().any(|trusted| trusted == name) {
        return None;
    }
    let unknown = || Some(Issue::Unknown(name.to_owned()));
    let Some(function) = known.functions.get(name) else { return unknown() };
    if depth >= DEEPEST {
        return unknown();
    }
    let mut sources = Vec::new();
    collect(&body(&function.body), &mut sources);
    if sources.contains(&Source::Opaque) || sources.iter().all(|source| matches!(source, Source::Literal)) {
        // More than one expression: what it reads cannot be proven safe, but may be seen to be forgeable.
        return settings(&function.body)
            .into_iter()
            .find(|setting| !PROTECTED.contains(&setting.as_str()))
            .map(Issue::Forgeable)
            .or_else(unknown);
    }
    sources.iter().filter_map(|source| source.issue(known, depth + 1)).max()
}

fn collect(expr: &Expr, sources: &mut Vec<Source>) {
    match expr {
        Expr::Column(_) => sources.push(Source::Column),
        Expr::Text(_) | Expr::Number | Expr::True | Expr::False | Expr::Null => sources.push(Source::Literal),
        Expr::Role(name) => sources.push(Source::Role(name)),
        Expr::Cast(inner, _) | Expr::Scalar(inner) => collect(inner, sources),
        Expr::Operator(_, left, right) => {
            collect(left, sources);
            collect(right, sources);
        }
        Expr::And(parts) | Expr::Or(parts) => parts.iter().for_each(|part| collect(part, sources)),
        Expr::Opaque => sources.push(Source::Opaque),
        Expr::Call(name, arguments) => {
            let plain = name.strip_prefix("pg_catalog.").unwrap_or(name);
            if plain == "current_setting" {
                sources.push(Source::Setting(arguments.first().and_then(text)));
            } else if NEUTRAL.iter().any(|neutral| plain.eq_ignore_ascii_case(neutral)) {
                arguments.iter().for_each(|argument| collect(argument, sources));
            } else {
                sources.push(Source::Function(name.clone()));
            }
        }
    }
}

fn text(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Text(value) => Some(value.clone()),
        Expr::Cast(inner, _) => text(inner),
        _ => None,
    }
}

/// The settings that a function's body reads by a constant name.
fn settings(body: &str) -> Vec<String> {
    let lower = body.to_ascii_lowercase();
    lower
        .split("current_setting")
        .skip(1)
        .filter_map(|rest| rest.trim_start().strip_prefix('(')?.trim_start().strip_prefix('\''))
        .filter_map(|rest| rest.split_once('\'').map(|(name, _)| name.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Knowledge {
        let function = |volatile, body: &str| Function { volatile, body: body.to_owned() };
        let functions = [
            ("app.tenant", function(false, "SELECT current_setting('app.tenant_id')::uuid")),
            ("app.block", function(false, "BEGIN RETURN current_setting( 'app.tenant_id', true); END")),
            (
                "app.register",
                function(false, "RETURN (NULLIF(current_setting('backtrace_functions'::text), ''::text))::uuid"),
            ),
            ("app.jumpy", function(true, "SELECT app.register()")),
            ("app.deep", function(false, "SELECT app.tenant()")),
            ("app.table", function(false, "BEGIN RETURN (SELECT t FROM x); END")),
            ("app.loop", function(false, "SELECT app.loop()")),
        ];
        let functions = functions.into_iter().map(|(name, function)| (name.to_owned(), function)).collect();
        Knowledge { sealed: true, trusted: vec!["auth.tenant".to_owned()], functions }
    }

    fn of(text: &str) -> Vec<Issue> {
        judge(text, "tenant_id", &known())
    }

    #[test]
    fn safe_ones_are_silent() {
        for text in [
            "(tenant_id = ( SELECT tenantry.current_tenant() AS current_tenant))",
            "(( SELECT tenantry.current_tenant() AS current_tenant) = tenant_id)",
            "((NOT deleted) AND (tenant_id = ( SELECT auth.tenant() AS tenant)))",
            "((tenant_id = ( SELECT app.register() AS register)) AND (EXISTS ( SELECT 1 FROM m)))",
            "(tenant_id = ( SELECT (NULLIF(current_setting('backtrace_functions'::text), ''::text))::uuid AS \"nullif\"))",
            "false",
        ] {
            assert_eq!(of(text), [], "{text}");
        }
    }

    #[test]
    fn each_flaw_is_named() {
        let forged = || Issue::Forgeable("app.tenant_id".to_owned());
        let cases: Vec<(&str, Vec<Issue>)> = vec![
            ("true", vec![Issue::Constant]),
            ("(1 = 1)", vec![Issue::Constant]),
            ("((tenant_id = ( SELECT tenantry.current_tenant() AS x)) OR true)", vec![Issue::Constant]),
            ("public", vec![Issue::Unbound("the tenant column is not compared")]),
            ("(tenant_id = tenant_id)", vec![Issue::Unbound("the column is compared with itself")]),
            ("(tenant_id = owner)", vec![Issue::Unbound("the tenant column is compared with another column")]),
            (
                "(tenant_id <> ( SELECT tenantry.current_tenant() AS x))",
                vec![Issue::Unbound("the tenant column is not compared")],
            ),
            (
                "((tenant_id = ( SELECT tenantry.current_tenant() AS x)) OR public)",
                vec![Issue::Unbound("an OR lets other rows through")],
            ),
            ("(tenant_id = 'a'::uuid)", vec![Issue::Unbound("the tenant column is compared with a constant")]),
            ("(tenant_id = ( SELECT (current_setting('app.tenant_id'::text))::uuid AS x))", vec![forged()]),
            ("(tenant_id = ( SELECT app.tenant() AS tenant))", vec![forged()]),
            ("(tenant_id = ( SELECT app.block() AS tenant))", vec![forged()]),
            ("(tenant_id = ( SELECT app.deep() AS tenant))", vec![forged()]),
            ("(tenant_id = tenantry.current_tenant())", vec![Issue::Bare("tenantry.current_tenant".to_owned())]),
            ("((tenant_id)::text = ( SELECT (tenantry.current_tenant())::text AS x))", vec![Issue::Cast]),
            ("((tenant_id)::character varying = ( SELECT (tenantry.current_tenant())::text AS x))", vec![Issue::Cast]),
            ("(lower((tenant_id)::text) = ( SELECT (tenantry.current_tenant())::text AS x))", vec![Issue::Cast]),
            (
                "(app.parent(tenant_id) = ( SELECT tenantry.current_tenant() AS x))",
                vec![Issue::Unknown("app.parent".to_owned())],
            ),
            (
                "(\"substring\"((tenant_id)::text, 1, 8) = ( SELECT \"substring\"((tenantry.current_tenant())::text, 1, 8) AS x))",
                vec![Issue::Unknown("substring".to_owned())],
            ),
            (
                "(((tenant_id)::character varying(8))::text = ( SELECT ((tenantry.current_tenant())::character varying(8))::text AS x))",
                vec![Issue::Unknown("a cast that cuts".to_owned())],
            ),
            ("(tenant_id = app.jumpy())", vec![Issue::Volatile("app.jumpy".to_owned())]),
            ("(tenant_id = (CURRENT_USER)::uuid)", vec![Issue::Role("current_user")]),
            ("(tenant_id = ( SELECT app.table() AS x))", vec![Issue::Unknown("app.table".to_owned())]),
            ("(tenant_id = ( SELECT app.loop() AS x))", vec![Issue::Unknown("app.loop".to_owned())]),
            ("(tenant_id = ( SELECT app.nowhere() AS x))", vec![Issue::Unknown("app.nowhere".to_owned())]),
            ("(tenant_id IN ( SELECT m.tenant_id FROM app.m))", vec![Issue::Opaque]),
            ("(tenant_id = ANY (ARRAY[( SELECT tenantry.current_tenant() AS x)]))", vec![Issue::Opaque]),
        ];
        for (text, wanted) in cases {
            assert_eq!(of(text), wanted, "{text}");
        }
    }

    #[test]
    fn without_a_seal_our_context_is_nobodys() {
        let text = "(tenant_id = ( SELECT tenantry.current_tenant() AS x))";
        assert_eq!(judge(text, "tenant_id", &Knowledge::default()), [Issue::Unknown(SEALED.to_owned())]);
    }
}
