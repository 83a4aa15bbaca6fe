//! Mail on its way: queued in the commit that decided on it, sent after it, tried again until it is sent or void.
//!
//! The queue is no evidence, so it is worked off without [`WriteTx`]. An attempt's number is its fence: whoever was asleep
//! for longer than the lease cannot settle what another one has taken over.
//! INVARIANT: a row holds neither text nor secret; a mail is void once its invitation is not pending, is over, or was sent
//! anew.

use std::time::Duration;

use tenantry_domain::Timestamp;
use tenantry_domain::id::{InvitationId, TenantId};
use tenantry_domain::member::{Email, RoleName};
use tenantry_domain::name::EnvironmentName;
use tenantry_domain::tenant::Slug;
use tenantry_pg::Row;
use uuid::Uuid;

use crate::columns::{digest, get, parse, slug};
use crate::line::Statement;
use crate::{Store, StoreError, WriteTx};

/// A mail that somebody is to send now.
#[derive(Clone, PartialEq, Eq)]
pub struct MailRow {
    /// Which; the same in all attempts.
    pub id: Uuid,
    /// The partition.
    pub environment: EnvironmentName,
    /// What it is about.
    pub invitation: InvitationId,
    /// The tenant.
    pub tenant: TenantId,
    /// Its name.
    pub slug: Slug,
    /// Its name for people.
    pub display_name: String,
    /// To whom.
    pub email: Email,
    /// As what they are invited.
    pub role: RoleName,
    /// The address of the member who invited, if one did and still is one.
    pub inviter: Option<String>,
    /// What the secret is made of.
    pub nonce: [u8; 32],
    /// Until when the link holds.
    pub expires_at: Timestamp,
    /// Whether the person gets an account at the identity provider beforehand.
    pub with_account: bool,
    /// Whether there is no sense in sending it any more.
    pub is_void: bool,
    /// Which attempt this is, from 1.
    pub attempt: i32,
    /// What was noted of the attempt before.
    pub cause: Option<String>,
    /// When it was decided on.
    pub created_at: Timestamp,
}

impl std::fmt::Debug for MailRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("MailRow");
        shown.field("id", &self.id).field("invitation", &self.invitation).field("attempt", &self.attempt);
        shown.finish_non_exhaustive()
    }
}

const QUEUE: &str = "
    INSERT INTO tenantry.mail (id, env, invitation, sends, due_at, created_at)
    SELECT $1, $2, $3, sends, $4, $4 FROM tenantry.invitation WHERE env = $2 AND id = $3";

const CLAIM: &str = "
    WITH due AS (
        SELECT id FROM tenantry.mail WHERE due_at <= $1::timestamptz AND sent_at IS NULL AND dropped_at IS NULL
        ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED
    ), taken AS (
        UPDATE tenantry.mail AS m SET attempts = attempts + 1, due_at = $1::timestamptz + $2 * interval '1 second'
        FROM due WHERE m.id = due.id RETURNING m.id, m.env, m.invitation, m.sends, m.attempts, m.cause, m.created_at
    )
    SELECT m.id, m.env, m.invitation, m.attempts, m.cause, m.created_at, i.tenant, i.email, i.role, i.nonce, i.expires_at, i.with_account, t.slug,
        t.spec ->> 'displayName' AS display_name, b.email AS inviter,
        i.status <> 'pending' OR i.expires_at <= $1::timestamptz OR i.sends <> m.sends OR t.phase = 'deleted' AS is_void
    FROM taken AS m
    JOIN tenantry.invitation AS i ON i.env = m.env AND i.id = m.invitation
    JOIN tenantry.tenant AS t ON t.env = i.env AND t.id = i.tenant
    LEFT JOIN tenantry.member AS b ON b.env = i.env AND b.tenant = i.tenant AND b.user_id = i.invited_by
    ORDER BY m.created_at";

const SENT: &str =
    "UPDATE tenantry.mail SET sent_at = $3, cause = NULL WHERE id = $1 AND attempts = $2 AND dropped_at IS NULL";

const LATER: &str = "
    UPDATE tenantry.mail SET due_at = $3, cause = $4 WHERE id = $1 AND attempts = $2 AND sent_at IS NULL AND dropped_at IS NULL";

const DROPPED: &str =
    "UPDATE tenantry.mail SET dropped_at = $3, cause = $4 WHERE id = $1 AND attempts = $2 AND sent_at IS NULL";

const STANDING: &str = "
    SELECT sent_at, dropped_at, attempts, cause FROM tenantry.mail WHERE env = $1 AND invitation = $2
    ORDER BY created_at DESC, id DESC LIMIT 1";

/// Whatever became of the invitations: whoever gets mail does not know.
const MAILS_TO: &str = "
    SELECT count(*) AS mails FROM tenantry.mail AS m
    JOIN tenantry.invitation AS i ON i.env = m.env AND i.id = m.invitation
    WHERE i.env = $1 AND i.tenant = $2 AND i.email_key = $3 AND m.created_at > $4";

const WAITING: &str = "
    SELECT count(*) AS waiting, min(created_at) AS oldest FROM tenantry.mail WHERE sent_at IS NULL AND dropped_at IS NULL";

fn read(row: &Row) -> Result<MailRow, StoreError> {
    let slug = slug(row)?;
    let name: Option<String> = get(row, "display_name")?;
    Ok(MailRow {
        id: get(row, "id")?,
        environment: parse(row, "env")?,
        invitation: InvitationId::from_uuid(get(row, "invitation")?),
        tenant: TenantId::from_uuid(get(row, "tenant")?),
        display_name: name.unwrap_or_else(|| slug.to_string()),
        slug,
        email: parse(row, "email")?,
        role: parse(row, "role")?,
        inviter: get(row, "inviter")?,
        nonce: digest(row, "nonce")?,
        expires_at: get(row, "expires_at")?,
        with_account: get(row, "with_account")?,
        is_void: get(row, "is_void")?,
        attempt: get(row, "attempts")?,
        cause: get(row, "cause")?,
        created_at: get(row, "created_at")?,
    })
}

impl WriteTx {
    /// Mail that leaves after the commit.
    pub fn mail(&mut self) -> Mails<'_> {
        Mails { tx: self }
    }
}

/// Mail inside a transaction.
pub struct Mails<'a> {
    tx: &'a mut WriteTx,
}

impl Mails<'_> {
    /// How many mails of a tenant an address, or a variant of it, was to get since a moment.
    ///
    /// # Errors
    /// The database's.
    pub async fn count(&mut self, tenant: TenantId, email: &Email, since: Timestamp) -> Result<i64, StoreError> {
        let count = Statement::new(MAILS_TO).bind(self.tx.env()).bind(tenant.uuid()).bind(email.key()).bind(since);
        let rows = self.tx.rows(count).await?;
        get(rows.first().ok_or(StoreError::NotFound)?, "mails")
    }

    /// Queues the mail of an invitation as it stands in this transaction.
    pub fn queue(&mut self, id: Uuid, invitation: InvitationId) {
        let queue = Statement::new(QUEUE).bind(id).bind(self.tx.env()).bind(invitation.uuid()).bind(self.tx.now);
        self.tx.queue(queue);
    }
}

/// How the newest mail of an invitation stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailStanding {
    /// When a mail server took it.
    pub sent_at: Option<Timestamp>,
    /// When it was given up.
    pub dropped_at: Option<Timestamp>,
    /// How often it was tried.
    pub attempts: i32,
    /// Why the last attempt failed, or why it was dropped.
    pub cause: Option<String>,
}

impl Store {
    /// Takes mails that are due, for the length of the lease.
    ///
    /// # Errors
    /// The database's.
    pub async fn claim_mail(&self, now: Timestamp, lease: Duration, most: i64) -> Result<Vec<MailRow>, StoreError> {
        let seconds = lease.as_secs_f64();
        self.query(CLAIM, &[&now, &seconds, &most]).await?.iter().map(read).collect()
    }

    /// Remembers that a mail server took a mail.
    ///
    /// # Errors
    /// The database's.
    pub async fn mail_sent(&self, mail: &MailRow, at: Timestamp) -> Result<(), StoreError> {
        self.query(SENT, &[&mail.id, &mail.attempt, &at]).await.map(|_| ())
    }

    /// Lets a mail be tried again at a moment.
    ///
    /// # Errors
    /// The database's.
    pub async fn mail_later(&self, mail: &MailRow, due: Timestamp, cause: &str) -> Result<(), StoreError> {
        self.query(LATER, &[&mail.id, &mail.attempt, &due, &cause]).await.map(|_| ())
    }

    /// Gives a mail up.
    ///
    /// # Errors
    /// The database's.
    pub async fn mail_dropped(&self, mail: &MailRow, at: Timestamp, cause: &str) -> Result<(), StoreError> {
        self.query(DROPPED, &[&mail.id, &mail.attempt, &at, &cause]).await.map(|_| ())
    }

    /// How the newest mail of an invitation stands, if there was one.
    ///
    /// # Errors
    /// The database's.
    pub async fn mail_of(
        &self,
        environment: &EnvironmentName,
        invitation: InvitationId,
    ) -> Result<Option<MailStanding>, StoreError> {
        let row = self.query_opt(STANDING, &[&environment.as_str(), &invitation.uuid()]).await?;
        let read = |row: &Row| -> Result<MailStanding, StoreError> {
            Ok(MailStanding {
                sent_at: get(row, "sent_at")?,
                dropped_at: get(row, "dropped_at")?,
                attempts: get(row, "attempts")?,
                cause: get(row, "cause")?,
            })
        };
        row.as_ref().map(read).transpose()
    }

    /// How many mails wait to be sent, and since when the oldest does.
    ///
    /// # Errors
    /// The database's.
    pub async fn mail_waiting(&self) -> Result<(i64, Option<Timestamp>), StoreError> {
        let row = self.query_opt(WAITING, &[]).await?.ok_or(StoreError::NotFound)?;
        Ok((get(&row, "waiting")?, get(&row, "oldest")?))
    }
}
