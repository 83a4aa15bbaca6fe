//! Chapter: each customer writes, and sees what it wrote and nothing else.

use std::time::Instant;

use super::onboarding::NEIGHBOUR;
use super::stage::{Customer, Stage, unforeseen, uuid};
use super::story::Story;
use crate::exit::{Failure, Result};
use crate::output::duration;

/// People, channels and a first week of messages; names no tenant.
const SEED: &str = include_str!("../../../../../examples/chat/seed.sql");

/// As many messages as are wanted in all, each with its writer's name in the text.
const MORE: &str = "
    INSERT INTO messages (channel_id, author_id, body)
    SELECT c.id, u.id, $1::text || ' message ' || n
    FROM generate_series(1, $2::bigint - (SELECT count(*) FROM messages)) AS n
    CROSS JOIN (SELECT min(id) AS id FROM channels) AS c
    CROSS JOIN (SELECT id FROM users ORDER BY email LIMIT 1) AS u";

/// Own rows, rows of others by their key, rows of others by their text.
const COUNT: &str = "
    SELECT count(*) FILTER (WHERE tenant_id = $1),
           count(*) FILTER (WHERE tenant_id <> $1),
           count(*) FILTER (WHERE body LIKE '% message %' AND NOT starts_with(body, $2::text || ' '))
    FROM messages";

/// Loads rows and counts them from all sides.
pub async fn tell(story: &mut Story, stage: &Stage, mut customers: Vec<Customer>, rows: u32) -> Result<Vec<Customer>> {
    story.chapter("Rows: one application, the same SQL for every customer, no tenant in any statement")?;
    let began = Instant::now();
    for (index, customer) in customers.iter_mut().enumerate() {
        // Different numbers, so that a wrong count cannot be right by chance.
        let wanted = i64::from(rows) + 7 * (i64::try_from(index).unwrap_or(0) + 1);
        customer.rows = load(stage, customer, wanted).await?;
    }
    let total: i64 = customers.iter().map(|customer| customer.rows).sum();
    story.say(&format!("  {total} messages in {}", duration(began.elapsed())))?;
    for customer in &customers {
        let (own, foreign, marked) = seen(stage, customer).await?;
        story.check(
            format!("{} sees its {} messages and no other's", customer.slug, customer.rows),
            own == customer.rows && foreign == 0 && marked == 0,
            format!("{own} of its own, {} of others", foreign + marked),
        )?;
    }
    together(story, stage, &customers).await?;
    Ok(customers)
}

async fn load(stage: &Stage, customer: &Customer, wanted: i64) -> Result<i64> {
    let failed = unforeseen("Rows cannot be written");
    let tx = stage.enter(customer).await?;
    let there: i64 = tx.query_one("SELECT count(*) FROM messages", &[]).await.map_err(&failed)?.get(0);
    if there == 0 {
        tx.batch_static(SEED).await.map_err(&failed)?;
        tx.execute(MORE, &[&customer.slug, &wanted]).await.map_err(&failed)?;
    }
    let rows = tx.query_one("SELECT count(*) FROM messages", &[]).await.map_err(&failed)?.get(0);
    tx.commit().await.map_err(|error| Failure::broken("Rows cannot be committed", error))?;
    Ok(rows)
}

/// Own rows, rows of others by their key, rows of others by their text.
pub async fn seen(stage: &Stage, customer: &Customer) -> Result<(i64, i64, i64)> {
    let failed = unforeseen("Rows cannot be counted");
    let tx = stage.enter(customer).await?;
    let row = tx.query_one(COUNT, &[&customer.id.uuid(), &customer.slug]).await.map_err(&failed)?;
    tx.rollback().await.map_err(&failed)?;
    Ok((row.get(0), row.get(1), row.get(2)))
}

/// A superuser sees that both shared customers really are in one table.
async fn together(story: &mut Story, stage: &Stage, customers: &[Customer]) -> Result<()> {
    let failed = unforeseen("The shared table cannot be counted");
    let shared: Vec<_> =
        customers.iter().filter(|customer| matches!(customer.slug.as_str(), "acme" | NEIGHBOUR)).collect();
    let Some(first) = shared.first() else { return Ok(()) };
    let pool = stage.superuser(first.door.target.database())?;
    let conn = pool.get().await.map_err(&failed)?;
    let rows =
        conn.query("SELECT tenant_id::text, count(*) FROM app.messages GROUP BY 1", &[]).await.map_err(&failed)?;
    conn.release();
    let holds = shared.iter().all(|customer| {
        rows.iter().any(|row| row.get::<_, String>(0) == uuid(customer) && row.get::<_, i64>(1) == customer.rows)
    });
    let names: Vec<_> = shared.iter().map(|customer| customer.slug.as_str()).collect();
    let together = holds && rows.len() == shared.len();
    story.check(
        format!("{} are in one and the same table, which only a superuser sees whole", names.join(" and ")),
        together,
        format!("{} rows", shared.iter().map(|customer| customer.rows).sum::<i64>()),
    )
}
