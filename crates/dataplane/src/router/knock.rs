//! What is said to a connection before a tenant's first statement.
//!
//! A connection that served the same tenant before is *warm*: BEGIN and `seal.enter()` go out as one message, whose text
//! is always the same. Any other one is reset first ([`CLEAN`]), because PostgreSQL keeps prepared statements, temporary
//! tables, cursors, channels and settings of a session, and each of them can carry data or commands across; then it is
//! bound to the tenant by `seal.bind`.
//!
//! INVARIANT: every statement that lets a tenant in is unnamed and parsed on the spot; a name could have been given to
//! another statement by the tenant before. Everything up to the first statement of the user is one round trip. A session
//! that does not say that it let in this very tenant is closed.

use futures_util::future::{join3, join4};
use tenantry_domain::id::TenantId;
use tenantry_pg::{Conn, PgError, PgKind, Session, SimpleQueryMessage, Sql, Tx, TxMode, Type};
use uuid::Uuid;

use super::Door;
use crate::seal::Backend;

/// What `DISCARD ALL` does and a new seed for `random()`, which a tenant could have set; but it keeps the plans of
/// functions: nothing of a tenant is in those, and making the seal's anew would cost more than all the rest. The last word
/// leaves the session unbound. The settings come first: each of these statements runs under the time limit that the tenant
/// before has left.
pub const CLEAN: &str = "RESET ALL; CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; DEALLOCATE ALL; UNLISTEN *; \
    SELECT pg_catalog.pg_advisory_unlock_all(), pg_catalog.setseed((('x' || \
    pg_catalog.substr(pg_catalog.gen_random_uuid()::pg_catalog.text, 1, 7))::bit(28)::int4)::float8 / 268435456); \
    DISCARD TEMP; DISCARD SEQUENCES";

/// `undefined_function`: the seal of this database is older than `seal.bind`.
const NOT_THERE: &str = "42883";

/// What we remember beside a connection.
#[derive(Clone)]
pub(super) struct Note {
    /// Whom it served last.
    pub tenant: TenantId,
    epoch: i64,
    kid: i32,
    backend: Backend,
    form: Form,
}

/// In which form the database's seal is entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `seal.bind` once, then `seal.enter()`.
    Bound,
    /// `seal.arm` once, then `seal.enter(tenant, generation, token)`. For databases that a newer version has not visited
    /// yet, and what applications do that have no router.
    Token,
}

/// What came of one try.
enum Answer {
    In(Tx),
    /// The seal lacks the newer functions.
    Older(Conn),
    /// A bound session does not find its tenant's row any more; the tenant may have a new one.
    Unbound(Conn),
}

type Param<'a> = &'a (dyn tenantry_pg::ToSql + Sync);

/// Lets the tenant in.
pub(super) async fn knock(conn: Conn, door: &Door, mode: TxMode) -> Result<Tx, PgError> {
    let note = conn.attached(|note: &mut Note| note.clone());
    let warm = !conn.is_unclean()
        && note
            .as_ref()
            .is_some_and(|note| note.tenant == door.tenant && note.epoch == door.epoch && note.kid == door.seal.kid());
    let (backend, form) = match note {
        Some(note) => (note.backend, note.form),
        None => (hello(&conn).await?, Form::Bound),
    };
    let note = Note { tenant: door.tenant, epoch: door.epoch, kid: door.seal.kid(), backend, form };
    let mut answer = try_once(conn, door, mode, &note, warm).await?;
    // Each of them happens at most once: the second try is a cold one, in the form that every seal knows.
    for _ in 0..2 {
        answer = match answer {
            Answer::In(tx) => return Ok(tx),
            Answer::Unbound(conn) => try_once(conn, door, mode, &note, false).await?,
            Answer::Older(conn) => {
                let note = Note { form: Form::Token, ..note.clone() };
                try_once(conn, door, mode, &note, false).await?
            }
        };
    }
    match answer {
        Answer::In(tx) => Ok(tx),
        Answer::Older(_) | Answer::Unbound(_) => Err(PgError::no_row()),
    }
}

async fn try_once(conn: Conn, door: &Door, mode: TxMode, note: &Note, warm: bool) -> Result<Answer, PgError> {
    if !warm {
        conn.forget();
    }
    let (cleaned, proven, entered) = match note.form {
        Form::Bound => bound(&conn, door, mode, note, warm).await?,
        Form::Token => by_token(&conn, door, mode, note, warm).await?,
    };
    cleaned?;
    if let Err(error) = proven {
        return match error.sqlstate() {
            Some(NOT_THERE) if note.form == Form::Bound => Ok(Answer::Older(left(conn).await?)),
            _ => turned_away(conn, error).await,
        };
    }
    if !warm {
        conn.mark_clean();
        conn.attach(note.clone());
    }
    match entered {
        Ok(()) => Ok(Answer::In(Tx::begun(conn))),
        Err(error) if warm && error.sqlstate() == Some("TN003") => Ok(Answer::Unbound(left(conn).await?)),
        Err(error) => turned_away(conn, error).await,
    }
}

/// The tenant's gate is shut, but the connection is sound and goes back; after any other failure it is closed.
async fn turned_away(conn: Conn, error: PgError) -> Result<Answer, PgError> {
    if error.kind() == PgKind::Tenantry
        && let Ok(conn) = left(conn).await
    {
        conn.release();
    }
    Err(error)
}

/// Leaves the transaction that was begun for nothing.
async fn left(conn: Conn) -> Result<Conn, PgError> {
    Tx::begun(conn).rollback_keeping().await
}

type Outcome = Result<(), PgError>;

/// Cleaned, bound, entered; each answered by itself.
async fn bound(
    conn: &Conn,
    door: &Door,
    mode: TxMode,
    note: &Note,
    warm: bool,
) -> Result<(Outcome, Outcome, Outcome), PgError> {
    let client = conn.client();
    let enter = Sql::new(mode.begin()).push("; SELECT seal.enter()");
    let enter = enter.as_str();
    if warm {
        let said = conn.pipelined(async { Ok(client.simple_query(enter).await) }).await?;
        return Ok((Ok(()), Ok(()), said.map_err(PgError::from).and_then(|said| is_in(&said, door))));
    }
    let (tenant, proof) = (door.tenant.uuid(), door.seal.bind(note.backend, door.tenant.uuid(), door.epoch));
    let proof = proof.as_slice();
    let params =
        [(&note.kid as Param<'_>, Type::INT4), (&tenant, Type::UUID), (&door.epoch, Type::INT8), (&proof, Type::BYTEA)];
    // The requests leave in this order when they are first polled, and the server runs them in this order.
    let clean = client.batch_execute(CLEAN);
    let bind = client.query_typed("SELECT seal.bind($1, $2, $3, $4)", &params);
    let enter = client.simple_query(enter);
    let (cleaned, bound, entered) = conn.pipelined(async { Ok(join3(clean, bind, enter).await) }).await?;
    let entered = entered.map_err(PgError::from).and_then(|said| is_in(&said, door));
    Ok((cleaned.map_err(PgError::from), bound.map(drop).map_err(PgError::from), entered))
}

/// Whether the session says that it let in this tenant. It cannot say another one, unless we mistook it for one that was
/// bound for this tenant; nothing of the user's was run then, and the connection is closed.
fn is_in(said: &[SimpleQueryMessage], door: &Door) -> Outcome {
    let whose = said.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).and_then(|text| Uuid::parse_str(text).ok()),
        _ => None,
    });
    if whose == Some(door.tenant.uuid()) { Ok(()) } else { Err(PgError::no_row()) }
}

/// Cleaned, armed, entered; each answered by itself.
async fn by_token(
    conn: &Conn,
    door: &Door,
    mode: TxMode,
    note: &Note,
    warm: bool,
) -> Result<(Outcome, Outcome, Outcome), PgError> {
    let client = conn.client();
    let (tenant, proof) = (door.tenant.uuid(), door.seal.arm(note.backend));
    let token = door.seal.capability(note.backend).token(tenant, door.epoch);
    let clean = async { if warm { Ok(()) } else { client.batch_execute(CLEAN).await } };
    let arm = async {
        if warm {
            return Ok(());
        }
        let params = [(&note.kid as Param<'_>, Type::INT4), (&proof.as_slice(), Type::BYTEA)];
        client.query_typed("SELECT seal.arm($1, $2)", &params).await.map(drop)
    };
    let begin = client.batch_execute(mode.begin());
    let token = token.as_slice();
    let params = [(&tenant as Param<'_>, Type::UUID), (&door.epoch, Type::INT8), (&token, Type::BYTEA)];
    let enter = client.query_typed("SELECT seal.enter($1, $2, $3)", &params);
    let (cleaned, proven, begun, entered) = conn.pipelined(async { Ok(join4(clean, arm, begin, enter).await) }).await?;
    begun?;
    Ok((cleaned.map_err(PgError::from), proven.map_err(PgError::from), entered.map(drop).map_err(PgError::from)))
}

/// Asks a connection that is new, or whose note was lost, which backend it has.
async fn hello(session: &Session) -> Result<Backend, PgError> {
    let client = session.client();
    let rows = session.pipelined(client.query_typed("SELECT pid, started FROM seal.hello()", &[])).await?;
    let row = rows.first().ok_or_else(PgError::no_row)?;
    Ok(Backend { pid: row.try_get(0)?, started: row.try_get(1)? })
}
