//! Audit bundles: entries in a file, and their verification far from any server.
//!
//! A bundle is JSON lines: a heading, then one entry per line with its hash, in any order. The verifier rebuilds
//! each entry's canonical text from what the line says, so a changed field changes the hash. What a file alone
//! cannot show is that its newest entries were cut off; a receipt, kept by whoever made a change, shows that too.

use std::collections::BTreeMap;
use std::io::BufRead;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenantry_api::v1::audit::{AuditEntry, AuditFinding, AuditReport, Receipt};
use tenantry_domain::audit::{Hash, Link, Tampering, Verifier};
use tenantry_domain::canonical;
use tenantry_domain::code::Code;
use tenantry_domain::id::TenantId;
use tenantry_domain::name::EnvironmentName;

use crate::exit::{Failure, Result};

/// The format's name in the heading.
pub const FORMAT: &str = "tenantry.audit-bundle/v1";

/// The first line of a bundle.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Heading {
    /// [`FORMAT`].
    pub bundle: String,
    /// The environment that the entries are of.
    pub environment: EnvironmentName,
}

/// An entry as the verifier needs it.
struct Row {
    seq: i64,
    canonical: String,
    hash: Vec<u8>,
}

/// One line of a bundle.
///
/// # Errors
/// The entry cannot be written as JSON.
pub fn line(entry: &AuditEntry) -> Result<String> {
    serde_json::to_string(entry).map_err(|error| Failure::broken("An audit entry cannot be written", error))
}

/// Verifies every chain of a bundle, and that the receipt's entry is among them.
///
/// # Errors
/// The text is not a bundle. What is wrong with its entries is a finding.
pub fn verify(text: impl BufRead, receipt: Option<&Receipt>) -> Result<AuditReport> {
    let began = std::time::Instant::now();
    let mut lines = text.lines().enumerate().map(|(index, line)| match line {
        Ok(line) => Ok((index + 1, line)),
        Err(error) => Err(unreadable(index + 1, &error)),
    });
    let (_, first) = lines.next().unwrap_or_else(|| Err(unreadable(1, &"the bundle is empty")))?;
    let heading: Heading = serde_json::from_str(&first).map_err(|error| unreadable(1, &error))?;
    if heading.bundle != FORMAT {
        return Err(unreadable(1, &format!("`{}` is not `{FORMAT}`", heading.bundle)));
    }
    let mut chains: BTreeMap<Option<TenantId>, Vec<Row>> = BTreeMap::new();
    let (mut entries, mut found) = (0, false);
    for line in lines {
        let (number, line) = line?;
        if line.trim().is_empty() {
            continue;
        }
        let (tenant, row) = read(&line).map_err(|why| unreadable(number, &why))?;
        found |= receipt.is_some_and(|receipt| receipt.seq == row.seq && hex(&row.hash) == receipt.hash);
        chains.entry(tenant).or_default().push(row);
        entries += 1;
    }
    let mut findings: Vec<_> =
        chains.iter_mut().filter_map(|(tenant, rows)| chain(&heading.environment, *tenant, rows)).collect();
    if let Some(receipt) = receipt.filter(|_| !found) {
        findings.push(AuditFinding {
            tenant: None,
            slug: None,
            message: format!("the receipt's entry {} with hash {} is not in the bundle", receipt.seq, receipt.hash),
            tampering: json!({ "kind": "receipt", "seq": receipt.seq }),
        });
    }
    let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(AuditReport { is_intact: findings.is_empty(), entries, subjects: chains.len() as u64, findings, millis })
}

fn chain(environment: &EnvironmentName, tenant: Option<TenantId>, rows: &mut [Row]) -> Option<AuditFinding> {
    rows.sort_by_key(|row| row.seq);
    let mut verifier = Verifier::new(environment, tenant);
    let walk = |rows: &[Row]| -> Result<(), Tampering> {
        for row in rows {
            verifier.step(&Link { seq: row.seq, canonical: &row.canonical, hash: &row.hash }, sha256)?;
        }
        Ok(())
    };
    let tampering = { walk }(rows).err()?;
    Some(AuditFinding {
        tenant: tenant.map(|tenant| tenant.to_string()),
        slug: None,
        message: tampering.to_string(),
        tampering: json!(tampering),
    })
}

/// The API shows the actor as one word, the chain has it in two parts.
fn read(line: &str) -> Result<(Option<TenantId>, Row), String> {
    let mut entry: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let members = entry.as_object_mut().ok_or("not an entry")?;
    let text = |value: Option<Value>, name: &str| match value {
        Some(Value::String(text)) => Ok(text),
        _ => Err(format!("`{name}` is missing")),
    };
    let hash = unhex(&text(members.remove("hash"), "hash")?).ok_or("`hash` is not hexadecimal")?;
    let actor = text(members.remove("actor"), "actor")?;
    let (kind, id) = actor.split_once(':').ok_or("`actor` has no kind")?;
    members.insert("actor".to_owned(), json!({ "kind": kind, "id": id }));
    let seq = members.get("seq").and_then(Value::as_i64).ok_or("`seq` is missing")?;
    let tenant = match members.get("tenant").and_then(Value::as_str) {
        Some(text) => Some(text.parse().map_err(|error| format!("`tenant`: {error}"))?),
        None => None,
    };
    Ok((tenant, Row { seq, canonical: canonical::to_string(&entry), hash }))
}

fn sha256(parts: &[&[u8]]) -> Hash {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

fn unreadable(line: usize, why: &dyn std::fmt::Display) -> Failure {
    Failure::new(Code::MalformedDocument, format!("line {line}: {why}"))
        .title("The audit bundle cannot be read")
        .hint("Make it with `tenantry audit export`.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenantry_domain::audit::{self, Category, Draft, Entry, Outcome};
    use tenantry_domain::policy::{Actor, ActorKind};

    fn bundle() -> Vec<String> {
        let environment = EnvironmentName::parse("prod").unwrap();
        let tenant: TenantId = "ten_01jd8x3v9mfk2t5h7q0w4z6y8c".parse().unwrap();
        let mut lines = vec![json!({ "bundle": FORMAT, "environment": environment }).to_string()];
        let mut previous = audit::GENESIS;
        for seq in 1..=3 {
            let entry = Entry {
                seq,
                at: "2026-11-20T18:00:00.25Z".parse().unwrap(),
                environment: environment.clone(),
                tenant: Some(tenant),
                draft: Draft {
                    action: "tenant.suspend".to_owned(),
                    category: Category::Mutation,
                    outcome: Outcome::Success,
                    actor: Actor { kind: ActorKind::Operator, id: "tok:7".to_owned() },
                    target: "tenant/acme".to_owned(),
                    version: Some(seq),
                    reason: None,
                    request_id: "req_1".to_owned(),
                    correlation_id: "c-1".to_owned(),
                    policy: "builtin".to_owned(),
                    changes: json!([{ "path": "spec.state", "from": "active", "to": "suspended" }]),
                },
            };
            previous = audit::link(&previous, &entry.canonical(), sha256);
            let mut shown = serde_json::to_value(&entry).unwrap();
            shown["actor"] = json!(entry.draft.actor.to_string());
            shown["hash"] = json!(hex(&previous));
            let shown: AuditEntry = serde_json::from_value(shown).unwrap();
            lines.push(line(&shown).unwrap());
        }
        lines
    }

    fn check(lines: &[String], receipt: Option<&Receipt>) -> AuditReport {
        verify(lines.join("\n").as_bytes(), receipt).unwrap()
    }

    #[test]
    fn whole_bundles_verify_in_any_order() {
        let mut lines = bundle();
        assert!(check(&lines, None).findings.is_empty());
        lines[1..].reverse();
        let report = check(&lines, None);
        assert_eq!((report.entries, report.subjects, report.findings.len()), (3, 1, 0));
    }

    #[test]
    fn changes_gaps_and_doubles_are_found() {
        let whole = bundle();
        let message = |lines: &[String]| check(lines, None).findings[0].message.clone();
        let mut changed = whole.clone();
        changed[2] = changed[2].replace("tenant.suspend", "tenant.resume!");
        assert_eq!(message(&changed), "entry 2 does not match its hash");
        let mut gap = whole.clone();
        gap.remove(2);
        assert_eq!(message(&gap), "entry 2 is missing");
        let mut double = whole.clone();
        double.push(whole[2].clone());
        assert!(message(&double).contains("out of place"));
    }

    #[test]
    fn receipts_show_that_nothing_was_cut_off() {
        let lines = bundle();
        let last: AuditEntry = serde_json::from_str(&lines[3]).unwrap();
        let receipt = Receipt { seq: 3, hash: last.hash };
        assert!(check(&lines, Some(&receipt)).findings.is_empty());
        assert_eq!(check(&lines[..3], Some(&receipt)).findings.len(), 1);
    }

    #[test]
    fn other_files_are_refused() {
        for text in ["", "{}", "hello", "{\"bundle\":\"zip\",\"environment\":\"prod\"}"] {
            let error = verify(text.as_bytes(), None).unwrap_err().to_string();
            assert!(error.contains("line 1"), "{error}");
        }
    }
}
