//! What roles and databases permit, compared with what they should.
//!
//! Read for many tenants in one query; judged purely.

use std::collections::BTreeMap;

use tenantry_domain::isolation::Isolation;
use tenantry_pg::{Ident, Session, Sql};

use crate::catalog::get;
use crate::error::DataError;
use crate::finding::{Finding, FindingKind};
use crate::names::{Names, Place};

/// What one role may do.
#[derive(Debug, Default)]
pub(crate) struct Posture {
    powers: Vec<&'static str>,
    can_login: bool,
    limit: i32,
    member_of: Vec<String>,
    members: Vec<String>,
    settings: Vec<String>,
    mark: Option<String>,
}

/// Who may do what with one database.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    pub mark: Option<String>,
    pub open: bool,
    /// `role:CONNECT`; the role is empty for everybody.
    pub grants: Vec<String>,
}

/// Reads roles by name. Our own login and logins of running commands are left out of the members.
pub(crate) async fn roles(
    session: &Session,
    names: &Names,
    roles: &[&str],
) -> Result<BTreeMap<String, Posture>, DataError> {
    const POWERS: [&str; 5] = ["SUPERUSER", "CREATEROLE", "CREATEDB", "BYPASSRLS", "REPLICATION"];
    let sql =
        "SELECT r.rolname::text, ARRAY[r.rolsuper, r.rolcreaterole, r.rolcreatedb, r.rolbypassrls, r.rolreplication],
            r.rolcanlogin, r.rolconnlimit,
            ARRAY(SELECT pg_get_userbyid(m.roleid)::text FROM pg_auth_members m WHERE m.member = r.oid ORDER BY 1),
            ARRAY(SELECT u.rolname::text FROM pg_auth_members m JOIN pg_roles u ON u.oid = m.member
                   WHERE m.roleid = r.oid AND u.rolname <> current_user
                     AND NOT starts_with(coalesce(shobj_description(u.oid, 'pg_authid'), ''), $2) ORDER BY 1),
            ARRAY(SELECT split_part(c, '=', 1) FROM pg_db_role_setting s, unnest(s.setconfig) AS c
                   WHERE s.setrole = r.oid ORDER BY 1),
            shobj_description(r.oid, 'pg_authid')
        FROM pg_roles r WHERE r.rolname = ANY ($1)";
    let rows = session.query(sql, &[&roles, &names.run_marks()]).await?;
    let read = |row: &tenantry_pg::Row| {
        let powers: Vec<bool> = get(row, 1)?;
        let posture = Posture {
            powers: POWERS.into_iter().zip(powers).filter_map(|(power, has)| has.then_some(power)).collect(),
            can_login: get(row, 2)?,
            limit: get(row, 3)?,
            member_of: get(row, 4)?,
            members: get(row, 5)?,
            settings: get(row, 6)?,
            mark: get(row, 7)?,
        };
        Ok((get(row, 0)?, posture))
    };
    rows.iter().map(read).collect()
}

/// Reads databases by name.
pub(crate) async fn databases(session: &Session, databases: &[&str]) -> Result<BTreeMap<String, Entry>, DataError> {
    let sql = "SELECT d.datname::text, shobj_description(d.oid, 'pg_database'), d.datallowconn,
            ARRAY(SELECT CASE a.grantee WHEN 0 THEN '' ELSE pg_get_userbyid(a.grantee)::text END || ':' || a.privilege_type
                    FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a WHERE a.grantee <> d.datdba ORDER BY 1)
        FROM pg_database d WHERE d.datname = ANY ($1)";
    let rows = session.query(sql, &[&databases]).await?;
    rows.iter()
        .map(|row| Ok((get(row, 0)?, Entry { mark: get(row, 1)?, open: get(row, 2)?, grants: get(row, 3)? })))
        .collect()
}

/// What is wanted of the roles of one place.
pub(crate) struct Wanted<'a> {
    pub place: &'a Place,
    /// The role of whose members the login is one.
    pub group: &'a Ident,
    /// What the marks on both roles start with.
    pub marks: &'a str,
    /// Whether the login may log in.
    pub open: bool,
    /// The bound on connections, where it is known.
    pub connections: Option<Option<u32>>,
}

/// Judges owner and login of one place.
pub(crate) fn judge_roles(wanted: &Wanted<'_>, roles: &BTreeMap<String, Posture>) -> Vec<Finding> {
    let mut found = Vec::new();
    let place = wanted.place;
    for role in place.login.iter().chain([&place.owner]) {
        let object = format!("role {}", role.as_str());
        let Some(posture) = roles.get(role.as_str()) else {
            found.push(Finding::repairable(FindingKind::RoleMissing, object, "does not exist"));
            continue;
        };
        if !posture.mark.as_ref().is_some_and(|mark| mark.starts_with(wanted.marks)) {
            found.push(Finding::reported(FindingKind::Foreign, object, "does not bear our mark"));
            continue;
        }
        let mut say = |kind, detail: String| found.push(Finding::repairable(kind, object.clone(), detail));
        if !posture.powers.is_empty() {
            say(FindingKind::RoleAttribute, format!("has {}", posture.powers.join(", ")));
        }
        if !posture.settings.is_empty() {
            say(FindingKind::RoleSetting, format!("sets {}", posture.settings.join(", ")));
        }
        if !posture.members.is_empty() {
            say(FindingKind::RoleMembership, format!("has the members {}", posture.members.join(", ")));
        }
        let is_login = Some(role) == place.login.as_ref();
        let groups: &[&str] = if is_login { &[wanted.group.as_str()] } else { &[] };
        if posture.member_of != groups {
            say(
                FindingKind::RoleMembership,
                format!("is a member of [{}], not [{}]", posture.member_of.join(", "), groups.join(", ")),
            );
        }
        let may = is_login && wanted.open;
        if posture.can_login != may {
            say(FindingKind::LoginDiffers, if may { "may not log in" } else { "may log in" }.to_owned());
        }
        let limit = wanted.connections.map(crate::roles::limit);
        if let (true, Some(limit)) = (may, limit)
            && posture.limit != limit
        {
            say(FindingKind::LoginDiffers, format!("may have {} connections, not {limit}", posture.limit));
        }
    }
    found
}

/// Judges who may connect to a database. `ours` are the roles that may.
pub(crate) fn judge_database(name: &Ident, entry: &Entry, ours: &[&Ident]) -> Vec<Finding> {
    let object = format!("database {}", name.as_str());
    let mut found = Vec::new();
    let wanted: Vec<String> = ours.iter().map(|role| format!("{}:CONNECT", role.as_str())).collect();
    let extra: Vec<&str> = entry
        .grants
        .iter()
        .filter(|grant| !wanted.contains(grant))
        .map(|grant| if grant.starts_with(':') { "everybody" } else { grant.as_str() })
        .collect();
    if !extra.is_empty() {
        found.push(Finding::repairable(
            FindingKind::GrantExtra,
            object.clone(),
            format!("is open to {}", extra.join(", ")),
        ));
    }
    if !entry.open || wanted.iter().any(|grant| !entry.grants.contains(grant)) {
        found.push(Finding::repairable(FindingKind::GrantMissing, object, "cannot be connected to"));
    }
    found
}

/// Statements that take from the roles of a place what they should not have. The login's state is the gate's matter.
pub(crate) fn remedy_roles(place: &Place, group: &Ident, roles: &BTreeMap<String, Posture>) -> Result<Sql, DataError> {
    let mut sql = Sql::new("");
    for role in place.login.iter().chain([&place.owner]) {
        let Some(posture) = roles.get(role.as_str()) else { continue };
        for power in &posture.powers {
            let without = match *power {
                "SUPERUSER" => " NOSUPERUSER",
                "CREATEROLE" => " NOCREATEROLE",
                "CREATEDB" => " NOCREATEDB",
                "BYPASSRLS" => " NOBYPASSRLS",
                _ => " NOREPLICATION",
            };
            sql = sql.push("ALTER ROLE ").ident(role).push(without).push("; ");
        }
        if !posture.settings.is_empty() {
            sql = sql.push("ALTER ROLE ").ident(role).push(" RESET ALL; ALTER ROLE ").ident(role).push(" IN DATABASE ");
            sql = sql.ident(&place.database).push(" RESET ALL; ");
        }
        for other in posture.member_of.iter().filter(|other| *other != group.as_str() || role == &place.owner) {
            sql = sql.push("REVOKE ").ident(&Ident::new(other)?).push(" FROM ").ident(role).push("; ");
        }
        for member in &posture.members {
            sql = sql.push("REVOKE ").ident(role).push(" FROM ").ident(&Ident::new(member)?).push("; ");
        }
        if Some(role) != place.login.as_ref() && posture.can_login {
            sql = sql.push("ALTER ROLE ").ident(role).push(" NOLOGIN; ");
        }
    }
    Ok(sql)
}

/// Statements that leave a database open to the given roles only.
pub(crate) fn remedy_database(name: &Ident, entry: &Entry, ours: &[&Ident]) -> Result<Sql, DataError> {
    let mut sql = Sql::new("ALTER DATABASE ").ident(name).push(" ALLOW_CONNECTIONS true; ");
    let mut grantees: Vec<&str> =
        entry.grants.iter().filter_map(|grant| grant.rsplit_once(':')).map(|(role, _)| role).collect();
    grantees.dedup();
    for grantee in grantees {
        let role = if grantee.is_empty() { Sql::new("PUBLIC") } else { Sql::from(&Ident::new(grantee)?) };
        sql = sql.push("REVOKE ALL ON DATABASE ").ident(name).push(" FROM ").sql(&role).push("; ");
    }
    for role in ours {
        sql = sql.push("GRANT CONNECT ON DATABASE ").ident(name).push(" TO ").ident(role).push("; ");
    }
    Ok(sql)
}

/// Who may connect to the database of a place.
pub(crate) fn visitors<'a>(names: &'a Names, place: &'a Place) -> Vec<&'a Ident> {
    match place.isolation {
        Isolation::Shared | Isolation::Schema => vec![&names.door],
        Isolation::Database | Isolation::Cluster => place.login.iter().chain([&place.owner]).collect(),
    }
}

/// Whether the seal's own objects still belong to the seal, and nobody else may touch its tables.
pub(crate) async fn seal(session: &Session) -> Result<Vec<Finding>, DataError> {
    let sql = "SELECT 'function ' || p.oid::regprocedure::text FROM pg_proc p
          WHERE p.pronamespace IN (to_regnamespace('seal'), to_regnamespace('tenantry'))
            AND pg_get_userbyid(p.proowner) <> 'tenantry_ctx' AND p.prorettype <> 'event_trigger'::regtype
        UNION ALL
        SELECT 'table ' || c.oid::regclass::text FROM pg_class c
          WHERE c.relnamespace IN (to_regnamespace('seal'), to_regnamespace('tenantry')) AND c.relkind IN ('r', 'S')
            AND (pg_get_userbyid(c.relowner) <> 'tenantry_ctx'
                 OR EXISTS (SELECT FROM aclexplode(c.relacl) a WHERE a.grantee <> c.relowner))
        UNION ALL
        SELECT 'function ' || needed FROM unnest(ARRAY['tenantry.current_tenant()', 'seal.hello()',
                'seal.arm(integer,bytea)', 'seal.enter(uuid,bigint,bytea)', 'seal.bind(integer,uuid,bigint,bytea)',
                'seal.enter()', 'seal.check_standby(integer,uuid,bigint,bytea)',
                'seal.enter_standby(integer,uuid,bigint,bytea)']) AS needed
          WHERE to_regprocedure(needed) IS NULL";
    let rows = session.query(sql, &[]).await?;
    let broken = |row: &tenantry_pg::Row| {
        let object: String = get(row, 0)?;
        Ok(Finding::repairable(FindingKind::SealBroken, object, "is not as the seal installed it"))
    };
    rows.iter().map(broken).collect()
}
