//! Users of a directory.

use serde_json::{Map, Value};
use tenantry_domain::Timestamp;
use tenantry_domain::id::{TenantId, UserId};
use tenantry_domain::member::scim::Person;
use tenantry_domain::member::scim::filter::Anchor;
use tenantry_domain::member::{Email, Identity, RoleName};
use tenantry_pg::{Json, Row, ToSql};
use uuid::Uuid;

use super::{Choice, Scim, object, times, uuid};
use crate::columns::{count, get, json, json_opt, parse, parse_opt};
use crate::{Reader, StoreError};

/// A user of a directory as they are stored.
#[derive(Debug, Clone, PartialEq)]
pub struct ScimUserRow {
    /// Ours.
    pub id: Uuid,
    /// What the directory says.
    pub doc: Map<String, Value>,
    /// Whether they may be a member.
    pub is_active: bool,
    /// Who signs in as this user, once that is known.
    pub identity: Option<Identity>,
    /// The member, also after the membership was taken away.
    pub user: Option<UserId>,
    /// What they hold; absent for somebody who is no member.
    pub role: Option<RoleName>,
    /// The groups that they are in: id and name. Empty where they were not asked for.
    pub groups: Vec<(Uuid, String)>,
    /// Rises with every change; begins with 1.
    pub version: i64,
    /// Since when.
    pub created_at: Timestamp,
    /// The last change.
    pub updated_at: Timestamp,
}

/// A user of a directory as they are to be.
#[derive(Debug, Clone)]
pub struct ScimUserPut<'a> {
    /// What the directory says.
    pub doc: &'a Map<String, Value>,
    /// The same as we need it.
    pub person: &'a Person,
    /// Who signs in as this user.
    pub identity: Option<&'a Identity>,
    /// The member.
    pub user: Option<UserId>,
}

/// What a member holds and what groups would give them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GradeRow {
    /// The member.
    pub user: UserId,
    /// What they hold.
    pub role: RoleName,
    /// What their groups give.
    pub given: Vec<RoleName>,
}

/// Users with their groups; `bare` ones without, which costs less.
macro_rules! users {
    (bare $rest:literal) => {
        users!(@ "'[]'::jsonb", $rest)
    };
    ($rest:literal) => {
        users!(@
            "(SELECT coalesce(jsonb_agg(jsonb_build_array(g.id, g.name) ORDER BY g.id), '[]')
                FROM tenantry.scim_group_user AS gu
                JOIN tenantry.scim_group AS g ON g.env = gu.env AND g.tenant = gu.tenant AND g.id = gu.group_id
                WHERE gu.env = s.env AND gu.tenant = s.tenant AND gu.user_id = s.id)",
            $rest
        )
    };
    (@ $groups:literal, $rest:literal) => {
        concat!(
            "SELECT s.id, s.doc, s.active, s.identity, s.user_id, m.role, s.version, s.created_at, s.updated_at, ",
            $groups,
            " AS groups
            FROM tenantry.scim_user AS s
            LEFT JOIN tenantry.member AS m ON m.env = s.env AND m.tenant = s.tenant AND m.user_id = s.user_id
            WHERE s.env = $1 AND s.tenant = $2 ",
            $rest
        )
    };
}

const BY_ID: &str = users!("AND s.id = $3");
const BY_NAME: &str = users!("AND s.name_key = $3");
const BY_EXTERNAL: &str = users!("AND s.external_id = $3");
const BY_EMAIL: &str = users!("AND s.email = $3 AND s.active AND s.user_id IS NULL ORDER BY s.id LIMIT 2");
const BEHIND: &str = users!("AND s.id > $3 ORDER BY s.id LIMIT $4");
const BEHIND_BARE: &str = users!(bare "AND s.id > $3 ORDER BY s.id LIMIT $4");
/// Skips ids alone: what else is looked up of a user is looked up for those of the page.
const ALL: &str = users!(
    "AND s.id = ANY (ARRAY(SELECT o.id FROM tenantry.scim_user AS o
        WHERE o.env = $1 AND o.tenant = $2 ORDER BY o.id OFFSET $3 LIMIT $4)) ORDER BY s.id"
);
const ALL_BARE: &str = users!(bare
    "AND s.id = ANY (ARRAY(SELECT o.id FROM tenantry.scim_user AS o
        WHERE o.env = $1 AND o.tenant = $2 ORDER BY o.id OFFSET $3 LIMIT $4)) ORDER BY s.id"
);
const COUNT: &str = "SELECT count(*) AS found FROM tenantry.scim_user WHERE env = $1 AND tenant = $2";

/// Who has one of two names already: the name, or the external id.
const TAKEN: &str = "
    SELECT name_key = $4 AS by_name FROM tenantry.scim_user
    WHERE env = $1 AND tenant = $2 AND id <> $3 AND (name_key = $4 OR external_id = $5) ORDER BY by_name DESC LIMIT 1";

const PUT: &str = "
    INSERT INTO tenantry.scim_user AS s (env, tenant, id, name_key, external_id, active, email, doc, identity, user_id, version,
        created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1, $11, $11)
    ON CONFLICT (env, tenant, id) DO UPDATE
        SET name_key = EXCLUDED.name_key, external_id = EXCLUDED.external_id, active = EXCLUDED.active,
            email = EXCLUDED.email, doc = EXCLUDED.doc, identity = EXCLUDED.identity, user_id = EXCLUDED.user_id,
            version = s.version + 1, updated_at = EXCLUDED.updated_at";

/// Groups change with whom they lose.
const DELETE: &str = "
    WITH left_behind AS (
        UPDATE tenantry.scim_group AS g SET version = g.version + 1, updated_at = $4
        FROM tenantry.scim_group_user AS gu
        WHERE gu.env = $1 AND gu.tenant = $2 AND gu.user_id = $3 AND g.env = gu.env AND g.tenant = gu.tenant AND g.id = gu.group_id
    )
    DELETE FROM tenantry.scim_user WHERE env = $1 AND tenant = $2 AND id = $3 RETURNING id";

const GRADES: &str = "
    SELECT s.user_id, m.role, (
        SELECT array_agg(DISTINCT g.role) FROM tenantry.scim_group_user AS gu
        JOIN tenantry.scim_group AS g ON g.env = gu.env AND g.tenant = gu.tenant AND g.id = gu.group_id
        WHERE gu.env = s.env AND gu.tenant = s.tenant AND gu.user_id = s.id AND g.role IS NOT NULL
    ) AS given
    FROM tenantry.scim_user AS s
    JOIN tenantry.member AS m ON m.env = s.env AND m.tenant = s.tenant AND m.user_id = s.user_id
    WHERE s.env = $1 AND s.tenant = $2 AND ($3::uuid[] IS NULL OR s.id = ANY ($3)) ORDER BY s.user_id";

/// Whether another user of the directory is a member.
const LINKED: &str = "SELECT 1 FROM tenantry.scim_user WHERE env = $1 AND tenant = $2 AND user_id = $3 AND id <> $4";

/// What groups give somebody, member or not.
const GIVEN: &str = "
    SELECT DISTINCT g.role FROM tenantry.scim_group_user AS gu
    JOIN tenantry.scim_group AS g ON g.env = gu.env AND g.tenant = gu.tenant AND g.id = gu.group_id
    WHERE gu.env = $1 AND gu.tenant = $2 AND gu.user_id = $3 AND g.role IS NOT NULL";

const SET_ROLES: &str = "
    UPDATE tenantry.member AS m SET role = wanted.role, version = m.version + 1, updated_at = $5
    FROM unnest($3::uuid[], $4::text[]) AS wanted (user_id, role)
    WHERE m.env = $1 AND m.tenant = $2 AND m.user_id = wanted.user_id";

fn read(row: &Row) -> Result<ScimUserRow, StoreError> {
    let user: Option<Uuid> = get(row, "user_id")?;
    let (created_at, updated_at) = times(row)?;
    Ok(ScimUserRow {
        id: get(row, "id")?,
        doc: object(json(row, "doc")?),
        is_active: get(row, "active")?,
        identity: json_opt(row, "identity")?,
        user: user.map(UserId::from_uuid),
        role: parse_opt(row, "role")?,
        groups: json(row, "groups")?,
        version: get(row, "version")?,
        created_at,
        updated_at,
    })
}

impl Scim<'_> {
    /// A user, if there is such a one.
    ///
    /// # Errors
    /// The database's.
    pub async fn user(&mut self, tenant: TenantId, id: Uuid) -> Result<Option<ScimUserRow>, StoreError> {
        let statement = self.of(BY_ID, tenant).bind(id);
        self.tx.rows(statement).await?.first().map(read).transpose()
    }

    /// The active users without a member whose address this is; two when it is not one alone.
    ///
    /// # Errors
    /// The database's.
    pub async fn claimable(&mut self, tenant: TenantId, email: &Email) -> Result<Vec<ScimUserRow>, StoreError> {
        let statement = self.of(BY_EMAIL, tenant).bind(email.exact());
        self.tx.rows(statement).await?.iter().map(read).collect()
    }

    /// Whether another user has the name (`true`), or the external id (`false`).
    ///
    /// # Errors
    /// The database's.
    pub async fn user_taken(
        &mut self,
        tenant: TenantId,
        id: Uuid,
        person: &Person,
    ) -> Result<Option<bool>, StoreError> {
        let statement = self.of(TAKEN, tenant).bind(id).bind(person.key.clone()).bind(person.external_id.clone());
        self.tx.rows(statement).await?.first().map(|row| get(row, "by_name")).transpose()
    }

    /// Makes or changes a user.
    pub fn put_user(&mut self, tenant: TenantId, id: Uuid, put: &ScimUserPut<'_>) {
        let email = put.person.email.as_ref().map(Email::exact);
        let statement = self
            .of(PUT, tenant)
            .bind(id)
            .bind(put.person.key.clone())
            .bind(put.person.external_id.clone())
            .bind(put.person.is_active)
            .bind(email)
            .bind(Json(Value::Object(put.doc.clone())))
            .bind(put.identity.cloned().map(Json))
            .bind(put.user.map(UserId::uuid))
            .bind(self.tx.now);
        self.tx.queue(statement);
    }

    /// Deletes a user.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or the database's.
    pub async fn delete_user(&mut self, tenant: TenantId, id: Uuid) -> Result<(), StoreError> {
        let statement = self.of(DELETE, tenant).bind(id).bind(self.tx.now);
        self.tx.wrote = true;
        if self.tx.rows(statement).await?.is_empty() { Err(StoreError::NotFound) } else { Ok(()) }
    }

    /// What the groups of a user give, member or not.
    ///
    /// # Errors
    /// The database's.
    pub async fn given(&mut self, tenant: TenantId, id: Uuid) -> Result<Vec<RoleName>, StoreError> {
        let statement = self.of(GIVEN, tenant).bind(id);
        let rows = self.tx.rows(statement).await?;
        rows.iter().map(|row| parse(row, "role")).collect()
    }

    /// Whether another user of the directory is this member.
    ///
    /// # Errors
    /// The database's.
    pub async fn is_linked(&mut self, tenant: TenantId, user: UserId, id: Uuid) -> Result<bool, StoreError> {
        let statement = self.of(LINKED, tenant).bind(user.uuid()).bind(id);
        Ok(!self.tx.rows(statement).await?.is_empty())
    }

    /// What users that are members hold, and what their groups would give them; of all users when none are named.
    ///
    /// # Errors
    /// The database's.
    pub async fn grades(&mut self, tenant: TenantId, ids: Option<&[Uuid]>) -> Result<Vec<GradeRow>, StoreError> {
        let statement = self.of(GRADES, tenant).bind(ids.map(<[Uuid]>::to_vec));
        let rows = self.tx.rows(statement).await?;
        rows.iter().map(grade).collect()
    }

    /// Gives members other roles.
    pub fn set_roles(&mut self, tenant: TenantId, wanted: &[(UserId, RoleName)]) {
        let (users, roles): (Vec<Uuid>, Vec<String>) =
            wanted.iter().map(|(user, role)| (user.uuid(), role.as_str().to_owned())).unzip();
        let statement = self.of(SET_ROLES, tenant).bind(users).bind(roles).bind(self.tx.now);
        self.tx.queue(statement);
    }
}

fn grade(row: &Row) -> Result<GradeRow, StoreError> {
    let given: Option<Vec<String>> = get(row, "given")?;
    let given = given.unwrap_or_default().iter().map(|name| RoleName::parse(name)).collect::<Result<_, _>>();
    Ok(GradeRow {
        user: UserId::from_uuid(get(row, "user_id")?),
        role: parse(row, "role")?,
        given: given.map_err(|_| StoreError::Unreadable { what: "given" })?,
    })
}

impl Reader {
    /// A user of a tenant's directory.
    ///
    /// # Errors
    /// The database's.
    pub async fn scim_user(&self, tenant: TenantId, id: Uuid) -> Result<Option<ScimUserRow>, StoreError> {
        let params: [&(dyn ToSql + Sync); 3] = [&self.environment.as_str(), &tenant.uuid(), &id];
        self.store.query_opt(BY_ID, &params).await?.as_ref().map(read).transpose()
    }

    /// Users of a tenant's directory. Those that no index finds come without their groups unless `with_groups`.
    ///
    /// # Errors
    /// The database's.
    pub async fn scim_users(
        &self,
        tenant: TenantId,
        choice: Choice<'_>,
        with_groups: bool,
    ) -> Result<Vec<ScimUserRow>, StoreError> {
        let (env, tenant) = (self.environment.as_str(), tenant.uuid());
        let rows = match choice {
            Choice::Found(Anchor::Id(id)) => self.store.query(BY_ID, &[&env, &tenant, &uuid(id)]).await?,
            Choice::Found(Anchor::Name(name)) => self.store.query(BY_NAME, &[&env, &tenant, name]).await?,
            Choice::Found(Anchor::ExternalId(id)) => self.store.query(BY_EXTERNAL, &[&env, &tenant, id]).await?,
            Choice::Found(Anchor::Member(_)) => Vec::new(),
            Choice::All { skip, limit } => {
                let sql = if with_groups { ALL } else { ALL_BARE };
                self.store.query(sql, &[&env, &tenant, &skip, &limit]).await?
            }
            Choice::After { id, limit } => {
                let sql = if with_groups { BEHIND } else { BEHIND_BARE };
                self.store.query(sql, &[&env, &tenant, &id, &limit]).await?
            }
        };
        rows.iter().map(read).collect()
    }

    /// How many users a tenant's directory has here.
    ///
    /// # Errors
    /// The database's.
    pub async fn scim_user_count(&self, tenant: TenantId) -> Result<u64, StoreError> {
        let row = self.store.query_opt(COUNT, &[&self.environment.as_str(), &tenant.uuid()]).await?;
        row.as_ref().map_or(Ok(0), |row| count(row, "found"))
    }
}
