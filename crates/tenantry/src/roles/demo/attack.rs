//! Chapter: what a customer's own session tries, as after an SQL injection, and what comes of it.

use tenantry_dataplane::TenantTx;
use tenantry_pg::{Pool, PoolOptions, SimpleQueryMessage, Sql};

use super::onboarding::NEIGHBOUR;
use super::stage::{Customer, Stage, refusal, unforeseen, uuid};
use super::story::Story;
use crate::exit::{Failure, Result};

/// One statement of an attacker.
struct Attack {
    what: &'static str,
    sql: Sql,
    expected: Expected,
}

/// What has to come of it. Another's rows never show.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// The server says no.
    Refused,
    /// The server does as it is told, and everything is as before.
    Harmless,
    /// The session loses its own context, and sees nothing at all any more.
    Blinding,
}

/// Runs hostile statements in Acme's session, aimed at its neighbour.
pub async fn tell(story: &mut Story, stage: &Stage, customers: &[Customer]) -> Result<()> {
    story.chapter("Attack: hostile SQL inside a customer's own transaction")?;
    let named = |slug: &str| {
        customers.iter().find(|customer| customer.slug == slug).ok_or_else(|| Failure::broken(format!("No {slug}"), ""))
    };
    let (acme, neighbour) = (named("acme")?, named(NEIGHBOUR)?);
    for attack in attacks(neighbour) {
        let ((own, foreign), refused) = try_it(stage, acme, &attack.sql).await?;
        let holds = foreign == 0
            && match attack.expected {
                Expected::Refused => refused.is_some() && own == acme.rows,
                Expected::Harmless => own == acme.rows,
                Expected::Blinding => own == 0,
            };
        let seen = match refused {
            Some(error) => format!("refused: {error}"),
            None if own == 0 => "accepted, and its own rows are gone from sight, too".to_owned(),
            None => "accepted, and changes nothing".to_owned(),
        };
        story.check(format!("{:<44} {foreign} rows of others", attack.what), holds, seen)?;
    }
    end_of_context(story, stage, acme).await?;
    other_levels(story, stage, named("globex")?, named("initech")?, acme).await
}

fn attacks(victim: &Customer) -> Vec<Attack> {
    let id = uuid(victim);
    let simple = victim.id.uuid().simple().to_string();
    let refused = |what, sql| Attack { what, sql, expected: Expected::Refused };
    let harmless = |what, sql| Attack { what, sql, expected: Expected::Harmless };
    vec![
        harmless("SET tenantry.tenant = <neighbour>", Sql::new("SET tenantry.tenant = ").literal(&id)),
        harmless("SET app.tenant_id = <neighbour>", Sql::new("SET app.tenant_id = ").literal(&id)),
        refused("SET the seal's register by hand", Sql::new("SET backtrace_functions = ").literal(&simple)),
        refused(
            "the same through set_config",
            Sql::new("SELECT set_config('backtrace_functions', ").literal(&simple).push(", true)"),
        ),
        harmless(
            "SELECT … WHERE tenant_id = <neighbour>",
            Sql::new("SELECT * FROM messages WHERE tenant_id = ").literal(&id),
        ),
        harmless("SELECT … WHERE true OR '1' = '1'", Sql::new("SELECT * FROM messages WHERE true OR '1' = '1'")),
        harmless("DELETE the neighbour's rows", Sql::new("DELETE FROM messages WHERE tenant_id = ").literal(&id)),
        refused(
            "INSERT a row for the neighbour",
            Sql::new("INSERT INTO users (tenant_id, email, display_name) VALUES (")
                .literal(&id)
                .push(", 'x@x.example', 'x')"),
        ),
        refused("UPDATE own rows into the neighbour's", Sql::new("UPDATE users SET tenant_id = ").literal(&id)),
        refused("SET row_security = off, then read", Sql::new("SET row_security = off; SELECT count(*) FROM messages")),
        refused(
            "ALTER TABLE … DISABLE ROW LEVEL SECURITY",
            Sql::new("ALTER TABLE messages DISABLE ROW LEVEL SECURITY"),
        ),
        refused("DROP POLICY", Sql::new("DROP POLICY tenantry_tenant ON messages")),
        refused("SET ROLE to the seal's owner", Sql::new("SET ROLE tenantry_ctx")),
        refused("SET SESSION AUTHORIZATION postgres", Sql::new("SET SESSION AUTHORIZATION postgres")),
        refused("read the seal's key", Sql::new("SELECT * FROM seal.key")),
        refused("COPY … TO PROGRAM", Sql::new("COPY messages TO PROGRAM 'cat'")),
        Attack { what: "RESET ALL", sql: Sql::new("RESET ALL"), expected: Expected::Blinding },
    ]
}

/// Runs a statement; then, in the same transaction, counts what is visible: own rows and others'.
async fn try_it(stage: &Stage, customer: &Customer, sql: &Sql) -> Result<((i64, i64), Option<String>)> {
    let failed = unforeseen("The attack cannot be staged");
    let tx = stage.enter(customer).await?;
    tx.batch_static("SAVEPOINT before").await.map_err(&failed)?;
    let refused = match tx.batch(sql).await {
        Ok(()) => None,
        Err(error) => {
            tx.batch_static("ROLLBACK TO SAVEPOINT before").await.map_err(&failed)?;
            Some(refusal(&error))
        }
    };
    let seen = visible(&tx, customer).await?;
    // Nothing of an attacker's session goes back to the pool.
    drop(tx);
    Ok((seen, refused))
}

async fn visible(tx: &TenantTx, customer: &Customer) -> Result<(i64, i64)> {
    let count =
        "SELECT count(*) FILTER (WHERE tenant_id = $1), count(*) FILTER (WHERE tenant_id <> $1) FROM app.messages";
    let row =
        tx.query_one(count, &[&customer.id.uuid()]).await.map_err(unforeseen("What is visible cannot be counted"))?;
    Ok((row.get(0), row.get(1)))
}

/// The seal ends with the transaction: whoever commits and goes on sees nothing.
async fn end_of_context(story: &mut Story, stage: &Stage, customer: &Customer) -> Result<()> {
    let tx = stage.enter(customer).await?;
    let outcome = tx.simple(&Sql::new("COMMIT; SELECT count(*) FROM app.messages")).await;
    drop(tx);
    let (rows, seen) = match outcome {
        Ok(messages) => {
            let count = messages.iter().find_map(|message| match message {
                SimpleQueryMessage::Row(row) => row.get(0).map(ToOwned::to_owned),
                _ => None,
            });
            (count.unwrap_or_default(), "accepted, and no row is visible".to_owned())
        }
        Err(error) => ("0".to_owned(), format!("refused: {}", refusal(&error))),
    };
    story.check(format!("{:<44} {rows} rows of anybody", "COMMIT, then read on outside"), rows == "0", seen)
}

/// On the other levels the customer's own login is the wall.
async fn other_levels(
    story: &mut Story,
    stage: &Stage,
    schema: &Customer,
    database: &Customer,
    shared: &Customer,
) -> Result<()> {
    let tx = stage.enter(schema).await?;
    let outcome = tx.batch_static("SELECT count(*) FROM app.messages").await;
    drop(tx);
    let refused = outcome.err().map(|error| refusal(&error));
    let seen = refused.clone().unwrap_or_else(|| "accepted".to_owned());
    story.check(
        format!("{} (a schema of its own) reads the shared tables", schema.slug),
        refused.is_some(),
        format!("refused: {seen}"),
    )?;

    let elsewhere = database.door.target.clone().with_database(shared.door.target.database());
    let pool = Pool::new(elsewhere, PoolOptions { max: 1, ..PoolOptions::default() });
    let refused = pool.get().await.err().map(|error| refusal(&error));
    let seen = refused.clone().unwrap_or_else(|| "accepted".to_owned());
    story.check(
        format!("{} (a database of its own) connects to another", database.slug),
        refused.is_some(),
        format!("refused: {seen}"),
    )
}
