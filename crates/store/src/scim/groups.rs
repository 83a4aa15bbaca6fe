//! Groups of a directory.

use std::collections::HashMap;

use tenantry_domain::Timestamp;
use tenantry_domain::id::TenantId;
use tenantry_domain::member::RoleName;
use tenantry_domain::member::scim::Team;
use tenantry_domain::member::scim::filter::Anchor;
use tenantry_pg::{Row, ToSql};
use uuid::Uuid;

use super::{Choice, Scim, times, uuid};
use crate::columns::{count, get, parse_opt};
use crate::cursor::Binding;
use crate::{Page, PageRequest, Reader, StoreError};

/// A group of a directory as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRow {
    /// Ours.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// What the directory calls it.
    pub external_id: Option<String>,
    /// What its members hold, if somebody said so.
    pub role: Option<RoleName>,
    /// How many are in it.
    pub size: i64,
    /// Rises with every change; begins with 1.
    pub version: i64,
    /// Since when.
    pub created_at: Timestamp,
    /// The last change.
    pub updated_at: Timestamp,
}

/// A group of a directory as it is to be.
#[derive(Debug, Clone, Copy)]
pub struct GroupPut<'a> {
    /// Its names.
    pub team: &'a Team,
    /// What its members hold.
    pub role: Option<&'a RoleName>,
}

macro_rules! groups {
    ($rest:literal) => {
        concat!(
            "SELECT g.id, g.name, g.external_id, g.role, g.version, g.created_at, g.updated_at,
                (SELECT count(*) FROM tenantry.scim_group_user AS gu
                    WHERE gu.env = g.env AND gu.tenant = g.tenant AND gu.group_id = g.id) AS size
            FROM tenantry.scim_group AS g WHERE g.env = $1 AND g.tenant = $2 ",
            $rest
        )
    };
}

const BY_ID: &str = groups!("AND g.id = $3");
const BY_NAME: &str = groups!("AND g.name_key = $3");
const BY_EXTERNAL: &str = groups!("AND g.external_id = $3 ORDER BY g.id");
const BY_MEMBER: &str = groups!(
    "AND EXISTS (SELECT FROM tenantry.scim_group_user AS of
        WHERE of.env = g.env AND of.tenant = g.tenant AND of.group_id = g.id AND of.user_id = $3) ORDER BY g.id"
);
const ALL: &str = groups!("ORDER BY g.id OFFSET $3 LIMIT $4");
const PAGE: &str = groups!("AND g.id > $3 ORDER BY g.id LIMIT $4");
const COUNT: &str = "SELECT count(*) AS found FROM tenantry.scim_group WHERE env = $1 AND tenant = $2";

const TAKEN: &str =
    "SELECT id FROM tenantry.scim_group WHERE env = $1 AND tenant = $2 AND id <> $3 AND name_key = $4 LIMIT 1";

const PUT: &str = "
    INSERT INTO tenantry.scim_group AS g (env, tenant, id, name, name_key, external_id, role, version, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8, $8)
    ON CONFLICT (env, tenant, id) DO UPDATE
        SET name = EXCLUDED.name, name_key = EXCLUDED.name_key, external_id = EXCLUDED.external_id, role = EXCLUDED.role,
            version = g.version + 1, updated_at = EXCLUDED.updated_at";

const DELETE: &str = "DELETE FROM tenantry.scim_group WHERE env = $1 AND tenant = $2 AND id = $3 RETURNING id";

const MEMBERS: &str = "
    SELECT group_id, user_id FROM tenantry.scim_group_user
    WHERE env = $1 AND tenant = $2 AND group_id = ANY ($3) ORDER BY user_id";

const MEMBER_IDS: &str =
    "SELECT user_id FROM tenantry.scim_group_user WHERE env = $1 AND tenant = $2 AND group_id = $3 ORDER BY user_id";

/// Those of some users that there are.
const KNOWN: &str = "SELECT count(*) AS found FROM tenantry.scim_user WHERE env = $1 AND tenant = $2 AND id = ANY ($3)";

/// Whether one of some users is in more groups than one may be in.
const CROWDED: &str = "
    SELECT user_id FROM tenantry.scim_group_user WHERE env = $1 AND tenant = $2 AND user_id = ANY ($3)
    GROUP BY user_id HAVING count(*) > $4 LIMIT 1";

const JOIN: &str = "
    INSERT INTO tenantry.scim_group_user (env, tenant, group_id, user_id)
    SELECT $1, $2, $3, wanted.id FROM unnest($4::uuid[]) AS wanted (id) ON CONFLICT DO NOTHING";

const LEAVE: &str =
    "DELETE FROM tenantry.scim_group_user WHERE env = $1 AND tenant = $2 AND group_id = $3 AND user_id = ANY ($4)";

fn read(row: &Row) -> Result<GroupRow, StoreError> {
    let (created_at, updated_at) = times(row)?;
    Ok(GroupRow {
        id: get(row, "id")?,
        name: get(row, "name")?,
        external_id: get(row, "external_id")?,
        role: parse_opt(row, "role")?,
        size: get(row, "size")?,
        version: get(row, "version")?,
        created_at,
        updated_at,
    })
}

impl Scim<'_> {
    /// A group, if there is such a one.
    ///
    /// # Errors
    /// The database's.
    pub async fn group(&mut self, tenant: TenantId, id: Uuid) -> Result<Option<GroupRow>, StoreError> {
        let statement = self.of(BY_ID, tenant).bind(id);
        self.tx.rows(statement).await?.first().map(read).transpose()
    }

    /// Whether another group has the name.
    ///
    /// # Errors
    /// The database's.
    pub async fn group_taken(&mut self, tenant: TenantId, id: Uuid, team: &Team) -> Result<bool, StoreError> {
        let statement = self.of(TAKEN, tenant).bind(id).bind(team.key.clone());
        Ok(!self.tx.rows(statement).await?.is_empty())
    }

    /// Makes or changes a group; its version rises.
    pub fn put_group(&mut self, tenant: TenantId, id: Uuid, put: &GroupPut<'_>) {
        let statement = self
            .of(PUT, tenant)
            .bind(id)
            .bind(put.team.name.clone())
            .bind(put.team.key.clone())
            .bind(put.team.external_id.clone())
            .bind(put.role.map(|role| role.as_str().to_owned()))
            .bind(self.tx.now);
        self.tx.queue(statement);
    }

    /// Deletes a group.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or the database's.
    pub async fn delete_group(&mut self, tenant: TenantId, id: Uuid) -> Result<(), StoreError> {
        let statement = self.of(DELETE, tenant).bind(id);
        self.tx.wrote = true;
        if self.tx.rows(statement).await?.is_empty() { Err(StoreError::NotFound) } else { Ok(()) }
    }

    /// Who is in a group, by id.
    ///
    /// # Errors
    /// The database's.
    pub async fn member_ids(&mut self, tenant: TenantId, group: Uuid) -> Result<Vec<Uuid>, StoreError> {
        let statement = self.of(MEMBER_IDS, tenant).bind(group);
        self.tx.rows(statement).await?.iter().map(|row| get(row, "user_id")).collect()
    }

    /// How many of some users there are.
    ///
    /// # Errors
    /// The database's.
    pub async fn known_users(&mut self, tenant: TenantId, ids: &[Uuid]) -> Result<usize, StoreError> {
        let statement = self.of(KNOWN, tenant).bind(ids.to_vec());
        self.tx.rows(statement).await?.first().map_or(Ok(0), |row| count(row, "found"))
    }

    /// Whether one of some users is in more than so many groups. What was queued before counts.
    ///
    /// # Errors
    /// The database's.
    pub async fn is_crowded(&mut self, tenant: TenantId, users: &[Uuid], most: i64) -> Result<bool, StoreError> {
        let statement = self.of(CROWDED, tenant).bind(users.to_vec()).bind(most);
        Ok(!self.tx.rows(statement).await?.is_empty())
    }

    /// Puts users into a group.
    pub fn join_group(&mut self, tenant: TenantId, group: Uuid, users: &[Uuid]) {
        let statement = self.of(JOIN, tenant).bind(group).bind(users.to_vec());
        self.tx.queue(statement);
    }

    /// Takes users out of a group.
    pub fn leave_group(&mut self, tenant: TenantId, group: Uuid, users: &[Uuid]) {
        let statement = self.of(LEAVE, tenant).bind(group).bind(users.to_vec());
        self.tx.queue(statement);
    }
}

impl Reader {
    /// A group of a tenant's directory.
    ///
    /// # Errors
    /// The database's.
    pub async fn scim_group(&self, tenant: TenantId, id: Uuid) -> Result<Option<GroupRow>, StoreError> {
        let params: [&(dyn ToSql + Sync); 3] = [&self.environment.as_str(), &tenant.uuid(), &id];
        self.store.query_opt(BY_ID, &params).await?.as_ref().map(read).transpose()
    }

    /// Groups of a tenant's directory.
    ///
    /// # Errors
    /// The database's.
    pub async fn scim_groups(&self, tenant: TenantId, choice: Choice<'_>) -> Result<Vec<GroupRow>, StoreError> {
        let (env, tenant) = (self.environment.as_str(), tenant.uuid());
        let rows = match choice {
            Choice::Found(Anchor::Id(id)) => self.store.query(BY_ID, &[&env, &tenant, &uuid(id)]).await?,
            Choice::Found(Anchor::Name(name)) => self.store.query(BY_NAME, &[&env, &tenant, name]).await?,
            Choice::Found(Anchor::ExternalId(id)) => self.store.query(BY_EXTERNAL, &[&env, &tenant, id]).await?,
            Choice::Found(Anchor::Member(id)) => self.store.query(BY_MEMBER, &[&env, &tenant, &uuid(id)]).await?,
            Choice::All { skip, limit } => self.store.query(ALL, &[&env, &tenant, &skip, &limit]).await?,
            Choice::After { id, limit } => self.store.query(PAGE, &[&env, &tenant, &id, &limit]).await?,
        };
        rows.iter().map(read).collect()
    }

    /// A page of the groups of a tenant's directory, oldest first.
    ///
    /// # Errors
    /// The page token's, or the database's.
    pub async fn directory_groups(
        &self,
        tenant: TenantId,
        page: &PageRequest<'_>,
    ) -> Result<Page<GroupRow>, StoreError> {
        let binding = Binding::new(&self.store, "directory groups", &self.environment, &tenant, page);
        let after = Uuid::from_bytes(binding.open(page)?.unwrap_or([0; 16]));
        let limit = i64::from(page.size.get()) + 1;
        let params: [&(dyn ToSql + Sync); 4] = [&self.environment.as_str(), &tenant.uuid(), &after, &limit];
        let found = self.store.query(PAGE, &params).await?.iter().map(read).collect::<Result<_, _>>()?;
        Ok(binding.page(found, page, |row: &GroupRow| row.id.into_bytes()))
    }

    /// How many groups a tenant's directory has here.
    ///
    /// # Errors
    /// The database's.
    pub async fn scim_group_count(&self, tenant: TenantId) -> Result<u64, StoreError> {
        let row = self.store.query_opt(COUNT, &[&self.environment.as_str(), &tenant.uuid()]).await?;
        row.as_ref().map_or(Ok(0), |row| count(row, "found"))
    }

    /// Who is in groups: the ids of users, by group.
    ///
    /// # Errors
    /// The database's.
    pub async fn scim_members(
        &self,
        tenant: TenantId,
        groups: &[Uuid],
    ) -> Result<HashMap<Uuid, Vec<Uuid>>, StoreError> {
        let params: [&(dyn ToSql + Sync); 3] = [&self.environment.as_str(), &tenant.uuid(), &groups];
        let mut found: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
        for row in self.store.query(MEMBERS, &params).await? {
            found.entry(get(&row, "group_id")?).or_default().push(get(&row, "user_id")?);
        }
        Ok(found)
    }
}
