//! Sending several statements to the database at once, in order.
//!
//! Every statement is prepared beforehand (once per connection), so that all of them leave without waiting for an
//! answer in between: a change costs as many round trips as it has decisions, not as it has statements.
//! INVARIANT: statements reach the server in the order in which they were given.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use futures_util::future::BoxFuture;
use tenantry_pg::{Conn, PgError, Row, ToSql, TxMode};
use tokio_postgres::error::Severity;

/// A parameter that outlives the call which made it.
pub(crate) type Param = Box<dyn ToSql + Sync + Send>;

/// A statement with its parameters.
pub(crate) struct Statement {
    sql: &'static str,
    params: Vec<Param>,
}

impl Statement {
    pub(crate) fn new(sql: &'static str) -> Self {
        Self { sql, params: Vec::new() }
    }

    /// Adds the next parameter.
    pub(crate) fn bind(mut self, param: impl ToSql + Sync + Send + 'static) -> Self {
        self.params.push(Box::new(param));
        self
    }
}

/// Why a batch did not succeed.
pub(crate) enum Failure {
    /// The server refused a statement, so nothing of the transaction lasts. The transaction is over if COMMIT was sent.
    Refused(PgError),
    /// COMMIT was sent and nobody knows what became of it.
    Unknown,
}

/// The statements that this connection knows already.
#[derive(Default)]
struct Prepared(HashMap<&'static str, tokio_postgres::Statement>);

/// Sends the statements, after the BEGIN of a mode and before COMMIT where wanted. Gives the rows of each.
pub(crate) async fn send(
    conn: &Conn,
    begin: Option<TxMode>,
    statements: &[Statement],
    commit: bool,
) -> Result<Vec<Vec<Row>>, Failure> {
    let prepared = prepare(conn, statements).await.map_err(Failure::Refused)?;
    let client = conn.client();
    let params: Vec<Vec<&(dyn ToSql + Sync)>> = statements
        .iter()
        .map(|statement| statement.params.iter().map(|param| &**param as &(dyn ToSql + Sync)).collect())
        .collect();
    let mut calls: Vec<BoxFuture<'_, Result<Vec<Row>, tokio_postgres::Error>>> =
        Vec::with_capacity(statements.len() + 2);
    if let Some(mode) = begin {
        calls.push(Box::pin(async move { client.batch_execute(mode.begin()).await.map(|()| Vec::new()) }));
    }
    for (statement, params) in prepared.iter().zip(&params) {
        calls.push(Box::pin(client.query(statement, params)));
    }
    if commit {
        calls.push(Box::pin(async { client.batch_execute("COMMIT").await.map(|()| Vec::new()) }));
    }
    let last = calls.len().saturating_sub(1);
    let answers = conn.pipelined(async { Ok(in_order(calls).await) }).await.map_err(Failure::Refused)?;
    let mut rows = Vec::with_capacity(answers.len());
    for (index, answer) in answers.into_iter().enumerate() {
        match answer {
            Ok(found) => rows.push(found),
            Err(error) => return Err(failure(conn, error, commit, index == last)),
        }
    }
    if begin.is_some() {
        rows.remove(0);
    }
    if commit {
        rows.pop();
    }
    Ok(rows)
}

/// Sorts an error. The first one counts: those behind it only say that the transaction is aborted.
fn failure(conn: &Conn, error: tokio_postgres::Error, commit: bool, is_last: bool) -> Failure {
    if error.code().is_some_and(|code| matches!(code.code(), "0A000" | "26000")) {
        // A migration changed what a prepared statement gives; the next use prepares it anew.
        conn.attach(Prepared::default());
    }
    // Statements are answered in order, so an answered refusal of any statement but COMMIT rules a commit out. A
    // connection that broke may have broken behind the commit; so may one that a FATAL error ended during COMMIT.
    let severity = error.as_db_error().and_then(tokio_postgres::error::DbError::parsed_severity);
    let is_certain = match severity {
        Some(Severity::Error) => true,
        Some(_) => !is_last,
        None => false,
    };
    if commit && !is_certain { Failure::Unknown } else { Failure::Refused(error.into()) }
}

async fn prepare(conn: &Conn, statements: &[Statement]) -> Result<Vec<tokio_postgres::Statement>, PgError> {
    let look = |known: &mut Prepared| -> (Vec<Option<tokio_postgres::Statement>>, bool) {
        let found: Vec<_> = statements.iter().map(|statement| known.0.get(statement.sql).cloned()).collect();
        let is_complete = found.iter().all(Option::is_some);
        (found, is_complete)
    };
    let known = conn.attached(look);
    if known.is_none() {
        conn.attach(Prepared::default());
    }
    if let Some((found, true)) = known {
        return Ok(found.into_iter().flatten().collect());
    }
    let mut fresh: HashMap<&'static str, tokio_postgres::Statement> = HashMap::new();
    for statement in statements {
        let is_known = conn.attached(|known: &mut Prepared| known.0.contains_key(statement.sql)).unwrap_or(false);
        if !is_known && !fresh.contains_key(statement.sql) {
            let made = conn.pipelined(conn.client().prepare(statement.sql)).await?;
            fresh.insert(statement.sql, made);
        }
    }
    conn.attached(|known: &mut Prepared| known.0.extend(fresh));
    let found = conn.attached(look).map(|(found, _)| found).unwrap_or_default();
    Ok(found.into_iter().flatten().collect())
}

/// Waits for all calls. Each is first polled, and thereby sent, before the next one is.
async fn in_order<T>(mut calls: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    let mut answers: Vec<Option<T>> = calls.iter().map(|_| None).collect();
    poll_fn(|cx| {
        let mut is_done = true;
        for (call, answer) in calls.iter_mut().zip(&mut answers) {
            if answer.is_none() {
                match Pin::new(call).poll(cx) {
                    Poll::Ready(value) => *answer = Some(value),
                    Poll::Pending => is_done = false,
                }
            }
        }
        if is_done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    answers.into_iter().flatten().collect()
}
