//! From the server's answers to findings, without asking anything.

use std::collections::BTreeSet;

use tenantry_pg::ServerVersion;

use crate::catalog::{Catalog, Check, Rule};
use crate::compose::{APP_FACTS, FUNCTION_FACTS, POLICY_FACTS, SEAL_FACTS, TABLE_FACTS};
use crate::input::{FINDINGS_MAX, Input};
use crate::policy::{FunctionFact, Policies, Verdict, verdicts};
use crate::report::{AcceptedFinding, Finding, Section, Truncated};
use crate::run::{Answer, Facts, GuardError};

/// Adds what the checks that ran found.
pub(crate) fn judge(
    checks: &[&'static Check],
    answers: &[Answer],
    input: &Input,
    facts: &Facts,
    catalog: &'static Catalog,
    section: &mut Section,
) -> Result<(), GuardError> {
    let named = |name: &'static str| answers.iter().filter(move |answer| answer.name == name);
    let policy_findings = judge_policies(answers, input)?;
    for check in checks {
        let mut found = Vec::new();
        if check.sql.is_some() {
            for answer in named(check.id.as_str()) {
                let object = answer.object.clone().unwrap_or_default();
                let detail = answer.detail.clone().unwrap_or_default();
                found.push(Finding::of(check, object, detail, answer.fix_sql.clone()));
            }
        }
        if let Some(flaw) = check.policy {
            for verdict in policy_findings.iter().filter(|verdict| verdict.flaw == flaw) {
                found.push(Finding::of(check, verdict.object.clone(), verdict.detail.clone(), verdict.fix_sql.clone()));
            }
        }
        match check.rule {
            Some(Rule::Minors) => {
                let version = ServerVersion::from_num(facts.server.version_num);
                if let Some(lacks) = catalog.minors.lacks(version) {
                    found.push(Finding::of(check, format!("server {version}"), lacks.detail, None));
                }
            }
            Some(Rule::Roles) => found.extend(roles(check, answers, input, &facts.database)),
            Some(Rule::Tables) => {
                let none = named(TABLE_FACTS).any(|answer| answer.object.as_deref() == Some("0"));
                if none {
                    let column = input.tenant_column.as_deref().unwrap_or("(no tenant column was named)");
                    found.push(Finding::of(
                        check,
                        format!("database {}", facts.database),
                        format!("no table has the column {column}"),
                        None,
                    ));
                }
            }
            Some(Rule::Accepted | Rule::Residue) | None => {}
        }
        let most = usize::try_from(FINDINGS_MAX).unwrap_or(usize::MAX);
        if found.len() > most {
            found.truncate(most);
            section.truncated.push(Truncated { check: check.id.clone(), shown: most });
        }
        section.findings.extend(found);
    }
    Ok(())
}

fn judge_policies(answers: &[Answer], input: &Input) -> Result<Vec<Verdict>, GuardError> {
    fn parse<T: serde::de::DeserializeOwned>(answer: &Answer, check: &'static str) -> Result<T, GuardError> {
        let text = answer.detail.as_deref().unwrap_or_default();
        serde_json::from_str(text).map_err(|_| GuardError::Answer { check })
    }
    let mut policies: Vec<Policies> = Vec::new();
    let mut functions: Vec<(String, FunctionFact)> = Vec::new();
    let mut sealed = false;
    for answer in answers {
        match answer.name.as_str() {
            POLICY_FACTS => policies.push(parse(answer, POLICY_FACTS)?),
            FUNCTION_FACTS => {
                functions.push((answer.object.clone().unwrap_or_default(), parse(answer, FUNCTION_FACTS)?));
            }
            SEAL_FACTS => sealed = answer.object.as_deref() == Some("true"),
            _ => {}
        }
    }
    Ok(verdicts(&policies, functions, sealed, &input.trusted_contexts))
}

/// Roles that were named and are not there; or nobody at all.
fn roles(check: &Check, answers: &[Answer], input: &Input, database: &str) -> Vec<Finding> {
    let there: BTreeSet<&str> = answers
        .iter()
        .filter(|answer| answer.name == APP_FACTS)
        .filter_map(|answer| answer.object.as_deref())
        .collect();
    let missing = input.roles.iter().flatten().filter(|role| !there.contains(role.as_str()));
    let mut found: Vec<Finding> = missing
        .map(|role| Finding::of(check, format!("role {role}"), "there is no role of this name".to_owned(), None))
        .collect();
    if there.is_empty() && found.is_empty() {
        let detail = "no login was named, and none that is no superuser has rights here".to_owned();
        found.push(Finding::of(check, format!("database {database}"), detail, None));
    }
    found
}

/// Sorts out what was accepted; an entry of a check that ran and that covers nothing is a finding itself.
pub(crate) fn accept(
    findings: Vec<Finding>,
    run: &[String],
    input: &Input,
    stale: Option<&Check>,
    accepted: &mut Vec<AcceptedFinding>,
) -> Vec<Finding> {
    let mut used = vec![false; input.accepted.len()];
    let mut left = Vec::new();
    for finding in findings {
        match input.accepted.iter().position(|entry| entry.covers(&finding.check, &finding.object)) {
            Some(index) => {
                if let Some(flag) = used.get_mut(index) {
                    *flag = true;
                }
                let reason = input.accepted.get(index).map(|entry| entry.reason.clone()).unwrap_or_default();
                accepted.push(AcceptedFinding { finding, reason });
            }
            None => left.push(finding),
        }
    }
    let Some(check) = stale else { return left };
    for (entry, _) in input.accepted.iter().zip(used).filter(|(entry, used)| !used && run.contains(&entry.check)) {
        let detail = format!("accepted because: {}", entry.reason);
        left.push(Finding::of(check, format!("{} {}", entry.check, entry.object), detail, None));
    }
    left
}
