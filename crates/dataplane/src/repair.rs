//! Setting right what can be set right: roles, rights, policies, seal, registry, gate.
//!
//! It never makes or removes a table, column or index of the app, nor a schema or database: what is missing there
//! was lost, and what is there too much was made by somebody. The recorded structure stays, so that such differences
//! are found again.

use tenantry_domain::isolation::Isolation;
use tenantry_pg::{Pool, Session};

use crate::catalog::get;
use crate::cell::Cell;
use crate::error::DataError;
use crate::isolation::{Site, database};
use crate::migrate::{Run, begin};
use crate::names::{Mark, Names, Place};
use crate::protect::protect;
use crate::seal::{self, Install};
use crate::space::{Claim, Gate, Space};
use crate::{claim, ledger, posture, roles};

/// What repairing did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// What was found and set right, for people.
    pub fixed: Vec<String>,
}

impl Cell {
    /// Sets right whatever of a tenant's place is not as it should be and can be set right, and brings the gate to
    /// where it should stand. At the shared level this repairs the tables that all share.
    ///
    /// # Errors
    /// The claim is outdated, the place does not exist, or a table cannot be guarded any more.
    pub async fn repair(&self, space: &Space, claim: &Claim, gate: Gate) -> Result<Repaired, DataError> {
        let site = Site::find(self, space, claim).await?;
        let before = self.observe(space).await?;
        let home = self.home_pool(&site.names);
        let mut fixed = Vec::new();
        let tx = home.begin().await?;
        claim::enroll(self, &tx, space, claim, &site.place.path()).await?;
        site.present(&tx).await?;
        self.repair_roles(&tx, &site).await?;
        tx.commit().await?;
        if space.isolation == Isolation::Shared || site.place.database == site.names.home {
            self.repair_inside(&site, &home, &site.names.door, &mut fixed).await?;
        } else {
            let visit = self.tenant_pool(&site.place.database);
            let tx = visit.begin().await?;
            claim::enroll(self, &tx, space, claim, &site.place.path()).await?;
            database::settle(self, &tx, &site.names, &site.place, &space.app).await?;
            tx.commit().await?;
            self.repair_inside(&site, &visit, &site.names.inner, &mut fixed).await?;
        }
        self.set_gate(space, claim, gate).await?;
        let after = self.observe(space).await?;
        for finding in before.findings.iter().filter(|finding| !after.findings.contains(finding)) {
            let text = finding.to_string();
            if !fixed.contains(&text) {
                fixed.push(text);
            }
        }
        Ok(Repaired { fixed })
    }

    /// Roles and who may connect.
    async fn repair_roles(&self, tx: &Session, site: &Site<'_>) -> Result<(), DataError> {
        let (names, place) = (&site.names, &site.place);
        let group = names.group(place.isolation);
        if place.isolation.has_own_role() {
            site.settle_roles(tx).await?;
        } else if let Some(login) = &place.login {
            let mark = names.mark(&Mark::Home);
            roles::find(tx, login, &mark).await?;
            // Many tenants share this login, and two who change one role at once make the server fail one of them.
            // Whoever has the turn is setting what we would set.
            let turn = self.lock_key("login", login.as_str());
            if get(&tx.query_one("SELECT pg_try_advisory_xact_lock($1)", &[&turn]).await?, 0)? {
                let sql = roles::join(group, login)
                    .sql(&roles::set_password(login, &self.verifier(login)))
                    .sql(&roles::let_in(login, None));
                tx.batch(&sql).await?;
            }
        }
        let wanted: Vec<&str> = place.login.iter().chain([&place.owner]).map(|role| role.as_str()).collect();
        let postures = posture::roles(tx, names, &wanted).await?;
        tx.batch(&posture::remedy_roles(place, group, &postures)?).await?;
        let databases = posture::databases(tx, &[place.database.as_str()]).await?;
        if let Some(entry) = databases.get(place.database.as_str()) {
            let visitors = posture::visitors(names, place);
            if !posture::judge_database(&place.database, entry, &visitors).is_empty() {
                tx.batch(&posture::remedy_database(&place.database, entry, &visitors)?).await?;
            }
        }
        Ok(())
    }

    /// Seal and guard.
    async fn repair_inside(
        &self,
        site: &Site<'_>,
        pool: &Pool,
        admit: &tenantry_pg::Ident,
        fixed: &mut Vec<String>,
    ) -> Result<(), DataError> {
        let conn = pool.get().await?;
        if !posture::seal(&conn).await?.is_empty() {
            reset_seal(&conn).await?;
            let key = self.seal_key(&site.place.database);
            seal::install(&conn, &Install { key: &key, admit, mode: self.options.seal }).await?;
        }
        let migrated = ledger::version(&conn, &site.place).await?.is_some();
        conn.release();
        if migrated {
            let tx = begin(&run(self, site, pool, &site.names, &site.place)).await?;
            let protected = protect(&tx, &site.place, &site.space.app.spec).await?;
            tx.commit().await?;
            fixed.extend(protected.fixed);
        }
        Ok(())
    }
}

fn run<'a>(cell: &'a Cell, site: &'a Site<'_>, pool: &'a Pool, names: &'a Names, place: &'a Place) -> Run<'a> {
    Run {
        cell,
        pool,
        names,
        place,
        app: &site.space.app,
        tenant: Some(site.space.tenant),
        claim: Some((site.space.tenant, site.claim)),
    }
}

/// Gives the seal's objects back to the seal, and takes everybody's rights on its tables.
async fn reset_seal(session: &Session) -> Result<(), DataError> {
    let sql = "DO $$ DECLARE what record; BEGIN
        FOR what IN SELECT p.oid::regprocedure AS name FROM pg_proc p
            WHERE p.pronamespace IN ('seal'::regnamespace, 'tenantry'::regnamespace)
              AND p.prorettype <> 'event_trigger'::regtype LOOP
            EXECUTE format('ALTER FUNCTION %s OWNER TO tenantry_ctx', what.name);
        END LOOP;
        FOR what IN SELECT c.oid::regclass AS name, c.relkind AS kind FROM pg_class c
            WHERE c.relnamespace IN ('seal'::regnamespace, 'tenantry'::regnamespace) AND c.relkind IN ('r', 'S') LOOP
            EXECUTE format('ALTER %s %s OWNER TO tenantry_ctx', CASE what.kind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, what.name);
        END LOOP;
        FOR what IN SELECT DISTINCT c.oid::regclass AS name, a.grantee FROM pg_class c, aclexplode(c.relacl) a
            WHERE c.relnamespace IN ('seal'::regnamespace, 'tenantry'::regnamespace) AND a.grantee <> c.relowner
              AND c.relkind IN ('r', 'S') LOOP
            EXECUTE format('REVOKE ALL ON %s FROM %s CASCADE', what.name,
                CASE what.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(what.grantee)) END);
        END LOOP;
    END $$";
    Ok(session.batch_static(sql).await?)
}
