//! Chapter: somebody breaks the guard by hand; it is seen, put right, and meanwhile nobody sees too much.

use std::time::{Duration, Instant};

use tenantry_api::client::EventQuery;

use super::rows;
use super::stage::{Customer, PATIENCE, Stage, unforeseen};
use super::story::Story;
use crate::exit::{Failure, Result};
use crate::output::duration;

/// The sweep runs every second in the demo; this leaves room for a busy machine.
const EXPECTED: Duration = Duration::from_secs(15);

/// Drops the policy of the shared messages and watches what happens.
pub async fn tell(story: &mut Story, stage: &Stage, customers: &[Customer]) -> Result<()> {
    story.chapter("Drift: a policy is dropped by hand in the database")?;
    let failed = unforeseen("The policy cannot be dropped");
    let acme =
        customers.iter().find(|customer| customer.slug == "acme").ok_or_else(|| Failure::broken("No acme", ""))?;
    let pool = stage.superuser(acme.door.target.database())?;
    let conn = pool.get().await.map_err(&failed)?;
    let last = newest_event(stage, &acme.slug).await?;
    conn.batch_static("DROP POLICY tenantry_tenant ON app.messages").await.map_err(&failed)?;
    let dropped = Instant::now();
    conn.release();

    let seen = rows::seen(stage, acme).await?;
    let finding = reported(stage, &acme.slug, dropped).await?;
    let repaired = repaired(stage, acme, dropped).await?;
    story.check(
        "without its policy the table shows nobody's rows, not everybody's",
        seen.1 == 0,
        format!("{} of others", seen.1),
    )?;
    let what = finding
        .as_ref()
        .map_or_else(|| "nothing".to_owned(), |(what, after)| format!("{what}, after {}", duration(*after)));
    story.check("it is reported as drift", finding.is_some(), what)?;
    let shown = repaired.map_or_else(|| "never".to_owned(), |after| format!("after {}", duration(after)));
    story.check("it is repaired without anybody asking", repaired.is_some_and(|after| after < EXPECTED), shown)?;
    let (own, foreign, _) = rows::seen(stage, acme).await?;
    story.check("acme sees its rows again, and only those", own == acme.rows && foreign == 0, format!("{own} rows"))?;
    let events = events_since(stage, &acme.slug, last).await?;
    let has = |kind: &str| events.iter().any(|event| event == kind);
    story.check("both are told as events", has("drift.detected") && has("drift.repaired"), events.join(", "))
}

/// The API looks into the database itself, so this does not wait for the sweep.
async fn reported(stage: &Stage, tenant: &str, since: Instant) -> Result<Option<(String, Duration)>> {
    while since.elapsed() < EXPECTED {
        let drift = stage.client.tenant_drift(tenant).await?;
        if let Some(finding) = drift.findings.first() {
            return Ok(Some((format!("{} on {}", finding.kind, finding.object), since.elapsed())));
        }
        let events = events_of(stage, tenant, 0).await?;
        if let Some((_, kind)) = events.iter().rev().find(|(_, kind)| kind == "drift.detected") {
            return Ok(Some((kind.clone(), since.elapsed())));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(None)
}

async fn repaired(stage: &Stage, acme: &Customer, since: Instant) -> Result<Option<Duration>> {
    let failed = unforeseen("The policies cannot be read");
    let pool = stage.superuser(acme.door.target.database())?;
    let conn = pool.get().await.map_err(&failed)?;
    while since.elapsed() < PATIENCE {
        let row = conn.query_one(
            "SELECT count(*) FROM pg_policies WHERE schemaname = 'app' AND tablename = 'messages' AND policyname = 'tenantry_tenant'",
            &[],
        );
        if row.await.map_err(&failed)?.get::<_, i64>(0) == 1 {
            return Ok(Some(since.elapsed()));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(None)
}

async fn newest_event(stage: &Stage, tenant: &str) -> Result<i64> {
    Ok(events_of(stage, tenant, 0).await?.last().map_or(0, |(sequence, _)| *sequence))
}

/// The repair's event follows the repair by a commit.
async fn events_since(stage: &Stage, tenant: &str, after: i64) -> Result<Vec<String>> {
    let began = Instant::now();
    loop {
        let kinds: Vec<_> = events_of(stage, tenant, after).await?.into_iter().map(|(_, kind)| kind).collect();
        if kinds.iter().any(|kind| kind == "drift.repaired") || began.elapsed() > EXPECTED {
            return Ok(kinds);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn events_of(stage: &Stage, tenant: &str, after: i64) -> Result<Vec<(i64, String)>> {
    let page = stage.client.tenant_events(tenant, &EventQuery { after, page_size: Some(200) }).await?;
    Ok(page.items.into_iter().map(|event| (event.sequence, event.kind)).collect())
}
