//! Chapter: the record of all this verifies, and a forged entry does not.

use super::stage::{Customer, Stage, unforeseen};
use super::story::Story;
use crate::exit::{Failure, Result};

/// The entry of Acme's chain that is forged.
const SEQ: i64 = 2;

/// Verifies, forges one entry as a superuser, verifies, undoes the forgery, verifies.
pub async fn tell(story: &mut Story, stage: &Stage, customers: &[Customer]) -> Result<()> {
    story.chapter("Audit: every change is on record, and the record cannot be changed unseen")?;
    let acme =
        customers.iter().find(|customer| customer.slug == "acme").ok_or_else(|| Failure::broken("No acme", ""))?;
    let report = stage.client.verify_audit(None).await?;
    let seen = format!("{} entries of {} chains in {} ms", report.entries, report.subjects, report.millis);
    story.check("the whole record verifies", report.findings.is_empty() && report.entries > 0, seen)?;

    let failed = unforeseen("The record cannot be forged");
    let pool = stage.superuser("tenantry")?;
    let conn = pool.get().await.map_err(&failed)?;
    let id = acme.id.uuid();
    let refused =
        conn.execute("UPDATE tenantry.audit SET entry = entry WHERE subject = $1 AND seq = $2", &[&id, &SEQ]).await;
    story.check("the table takes no change, not even a superuser's by mistake", refused.is_err(), "append only")?;

    // On purpose it can be done: whoever owns the server can switch triggers off.
    conn.batch_static("SET session_replication_role = replica").await.map_err(&failed)?;
    let old = conn.query_one("SELECT entry FROM tenantry.audit WHERE subject = $1 AND seq = $2", &[&id, &SEQ]).await;
    let old: String = old.map_err(&failed)?.get(0);
    let forged = old.replacen("tenant/acme", "tenant/acmf", 1);
    let write = "UPDATE tenantry.audit SET entry = $3 WHERE subject = $1 AND seq = $2";
    conn.execute(write, &[&id, &SEQ, &forged]).await.map_err(&failed)?;
    let report = stage.client.verify_audit(None).await?;
    let named = report.findings.iter().find(|finding| {
        finding.slug.as_deref() == Some("acme") || finding.tenant.as_deref() == Some(acme.id.to_string().as_str())
    });
    let holds = forged != old
        && report.findings.len() == 1
        && named.is_some_and(|finding| finding.message.contains(&format!("entry {SEQ} ")));
    let seen = named.map_or_else(|| "nothing found".to_owned(), |finding| format!("acme: {}", finding.message));
    story.check("a forged entry is found and named", holds, seen)?;

    conn.execute(write, &[&id, &SEQ, &old]).await.map_err(&failed)?;
    let report = stage.client.verify_audit(None).await?;
    story.check(
        "with the old text back it verifies again",
        report.findings.is_empty(),
        format!("{} entries", report.entries),
    )
}
