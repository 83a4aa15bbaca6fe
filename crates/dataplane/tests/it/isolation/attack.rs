//! Running an attack, and looking for what it got.
//!
//! An attack is a list of messages, each sent as one simple query the way an injected application would. Everything
//! the server answers is kept as text: rows, COPY data, errors with all their fields, notices.

use futures_util::{SinkExt as _, StreamExt as _, pin_mut};
use tenantry_dataplane::tx::TenantTx;
use tenantry_pg::{PgError, Session, SimpleQueryMessage, Sql};

use crate::isolation::world::{Party, World};

/// All that came back.
#[derive(Debug, Default)]
pub struct Transcript {
    /// Rows, errors and notices.
    pub text: String,
    /// How each message ended: the SQLSTATE of its error, or none.
    pub ends: Vec<Option<String>>,
    /// What must not be, in words.
    pub leaks: Vec<String>,
}

impl Transcript {
    pub fn last(&self) -> Option<&str> {
        self.ends.last().and_then(Option::as_deref)
    }
}

/// Runs the messages as tenant A and looks for tenant B. Nobody else may use the world's tenants meanwhile.
pub async fn attack(world: &World, messages: &[String]) -> Transcript {
    let before = world.fingerprint(&world.b).await;
    let mut transcript = Transcript::default();
    let mut tx = enter(world, &world.a).await;
    for message in messages {
        if !is_usable(&tx).await {
            // The client's next transaction; whatever the last one left in the session is looked for as well.
            tx = again(world, tx).await;
        }
        let end = send(&tx, message, &mut transcript.text).await;
        transcript.ends.push(end.err().map(|error| error.sqlstate().unwrap_or("client").to_owned()));
        context_is_own(world, &tx, &mut transcript).await;
    }
    let named = messages.iter().any(|message| message.contains(&world.b.tenant.to_string()));
    look(world, &mut transcript, named);
    let _ = tx.commit().await;
    if world.fingerprint(&world.b).await != before {
        transcript.leaks.push("rows of the other tenant were changed".to_owned());
        world.restore(&world.b).await;
    }
    neighbour(world, &mut transcript).await;
    transcript
}

/// What the other tenant finds in the session that it gets next.
pub async fn neighbour(world: &World, transcript: &mut Transcript) {
    let tx = enter(world, &world.b).await;
    let mut text = String::new();
    let questions = [
        "SELECT tenant_id, id, body FROM messages",
        "SELECT tenant_id, email FROM users",
        "INSERT INTO channels (name) VALUES ('the-neighbours-own') RETURNING tenant_id",
        "SELECT name FROM pg_prepared_statements WHERE from_sql",
        "SELECT name FROM pg_cursors WHERE is_holdable",
        "SELECT 'channel ' || pg_listening_channels()",
        "SELECT 'temporary schema' WHERE pg_my_temp_schema() <> 0",
        "SELECT name || '=' || setting FROM pg_settings WHERE source = 'session' AND name NOT IN
            ('search_path', 'backtrace_functions', 'transaction_isolation', 'transaction_read_only', 'transaction_deferrable',
             'tenantry.context', 'role')",
    ];
    for (index, question) in questions.into_iter().enumerate() {
        let start = text.len();
        let end = send(&tx, question, &mut text).await;
        if let Err(error) = end {
            transcript.leaks.push(format!("the next tenant's `{question}` fails: {:?}", error.db()));
            return;
        }
        if index > 2 && text.len() > start {
            transcript.leaks.push(format!("left for the next tenant: {}", &text[start..]));
        }
    }
    tx.rollback().await.unwrap();
    let rows = text.matches(&world.b.tenant.to_string()).count();
    // 240 messages, 4 people, one channel.
    if rows != 245 || text.contains(&world.a.canary) || text.contains(&world.a.tenant.to_string()) {
        transcript.leaks.push(format!("the next tenant sees {rows} rows of its own, or some that are not"));
    }
}

pub async fn enter(world: &World, party: &Party) -> TenantTx {
    world.router.enter(&party.door).await.unwrap_or_else(|error| panic!("{error}: {error:?}"))
}

/// Sends one message; keeps what comes back.
pub async fn send(session: &Session, message: &str, text: &mut String) -> Result<(), PgError> {
    let sql = Sql::script(message);
    let upper = message.trim_start().to_uppercase();
    let answer = if upper.starts_with("COPY") && upper.contains("TO STDOUT") {
        copy_out(session, &sql, text).await
    } else if upper.starts_with("COPY") && upper.contains("FROM STDIN") {
        copy_in(session, &sql).await
    } else {
        match session.simple(&sql).await {
            Ok(answers) => {
                for answer in answers {
                    if let SimpleQueryMessage::Row(row) = answer {
                        let values: Vec<&str> = (0..row.len()).map(|column| row.get(column).unwrap_or("∅")).collect();
                        text.push_str(&values.join("|"));
                        text.push('\n');
                    }
                }
                Ok(())
            }
            Err(error) => Err(error),
        }
    };
    if let Err(error) = &answer {
        text.push_str(&format!("{:?}\n", error.db()));
    }
    for notice in session.take_notices() {
        text.push_str(&format!("{notice:?}\n"));
    }
    answer
}

async fn copy_out(session: &Session, sql: &Sql, text: &mut String) -> Result<(), PgError> {
    let stream = session.copy_out(sql).await?;
    pin_mut!(stream);
    while let Some(bytes) = stream.next().await {
        text.push_str(&String::from_utf8_lossy(&bytes?));
    }
    Ok(())
}

async fn copy_in(session: &Session, sql: &Sql) -> Result<(), PgError> {
    let sink = session.copy_in(sql).await?;
    pin_mut!(sink);
    sink.send(bytes::Bytes::from_static(b"x\n")).await?;
    sink.finish().await?;
    Ok(())
}

/// Whether the session is there, and neither after a failed statement nor outside of its transaction.
async fn is_usable(session: &Session) -> bool {
    let inside = "SELECT 1 WHERE pg_catalog.now() <> pg_catalog.statement_timestamp()";
    matches!(session.simple(&Sql::new(inside)).await, Ok(answers) if answers.iter().any(|a| matches!(a, SimpleQueryMessage::Row(_))))
}

async fn again(world: &World, tx: TenantTx) -> TenantTx {
    let _ = tx.rollback().await;
    enter(world, &world.a).await
}

/// The context is A's, or none, or an error.
async fn context_is_own(world: &World, session: &Session, transcript: &mut Transcript) {
    // In a savepoint: a forged context makes the question itself fail, and the attack must go on.
    if session.simple(&Sql::new("SAVEPOINT looking")).await.is_err() {
        return;
    }
    let answers = session.simple(&Sql::new("SELECT tenantry.current_tenant()")).await;
    // Fails when the attack made the server end its own session.
    let _ = session.simple(&Sql::new("ROLLBACK TO looking; RELEASE looking")).await;
    for answer in answers.into_iter().flatten() {
        if let SimpleQueryMessage::Row(row) = answer
            && let Some(tenant) = row.get(0)
            && tenant != world.a.tenant.to_string()
        {
            transcript.leaks.push(format!("the context became {tenant}"));
        }
    }
}

/// Looks for the other tenant in what came back. Its id alone counts unless the attack itself said it.
pub fn look(world: &World, transcript: &mut Transcript, id_was_said: bool) {
    let text = &transcript.text;
    if let Some(at) = text.find(&world.b.canary) {
        let around: String = text[..at].chars().rev().take(80).collect::<Vec<_>>().into_iter().rev().collect();
        transcript.leaks.push(format!("a value of the other tenant came back: …{around}{}", world.b.canary));
    }
    let key: String = world.key_bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    if text.contains(&key) {
        transcript.leaks.push("the seal's key came back".to_owned());
    }
    if !id_was_said && text.contains(&world.b.tenant.to_string()) {
        transcript.leaks.push("the other tenant's id came back".to_owned());
    }
}

/// Replaces the placeholders of a message.
pub async fn fill(world: &World, message: &str) -> String {
    let select = Sql::new("SELECT min(id) FROM ").ident(&crate::isolation::world::ident(&world.b.schema));
    let select = select.push(".messages WHERE tenant_id = ").literal(&world.b.tenant.to_string());
    let rows = world.b.admin.get().await.unwrap().query_sql(&select, &[]).await.unwrap();
    let schema = if world.a.schema == world.b.schema { "seal" } else { &world.b.schema };
    message
        .replace("{own_id}", &world.a.tenant.to_string())
        .replace("{victim_id}", &world.b.tenant.to_string())
        .replace("{victim_hex}", &world.b.tenant.simple().to_string())
        .replace("{victim_message_id}", &rows[0].get::<_, i64>(0).to_string())
        .replace("{victim_schema}", schema)
        .replace("{victim_role}", if world.a.login == world.b.login { &world.b.owner } else { &world.b.login })
        .replace("{owner_role}", &world.a.owner)
}
