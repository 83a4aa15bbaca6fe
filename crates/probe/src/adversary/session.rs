//! Everything that tries to leave the context, or to leave something behind: settings, roles, paths, prepared
//! statements, cursors, blocks, temporary objects, definitions, transactions, errors that tell.

use super::Maker;
use super::scope::{Scope, Source};
use crate::pen::Pen;

/// Settings that may hold a tenant, or change what rows are seen.
const SETTINGS: &[&str] = &[
    "backtrace_functions",
    "tenantry.context",
    "app.tenant_id",
    "app.current_tenant",
    "row_security",
    "role",
    "session_authorization",
    "search_path",
    "session_replication_role",
    "plan_cache_mode",
    "enable_indexscan",
    "check_function_bodies",
    "default_transaction_read_only",
    "constraint_exclusion",
];

const CATALOG: &[&str] = &[
    "SELECT * FROM pg_stats LIMIT 50",
    "SELECT query FROM pg_stat_activity LIMIT 50",
    "SELECT relname, reltuples FROM pg_class WHERE relkind = 'r' LIMIT 50",
    "SELECT nspname, nspacl FROM pg_namespace LIMIT 50",
    "SELECT rolname FROM pg_roles LIMIT 50",
    "SELECT datname FROM pg_database LIMIT 50",
    "SELECT * FROM pg_prepared_statements",
    "SELECT * FROM pg_cursors",
    "SELECT * FROM pg_locks LIMIT 50",
    "SELECT name, setting FROM pg_settings WHERE source = 'session' LIMIT 50",
    "SELECT prosrc FROM pg_proc WHERE pronamespace::regnamespace::text IN ('seal', 'tenantry', 'app')",
    "SELECT * FROM pg_policies LIMIT 50",
    "SELECT * FROM seal.key",
    "SELECT * FROM tenantry.tenant",
    "SELECT currval('seal.high'), currval('seal.low')",
    "SELECT seal.enter(gen_random_uuid(), 1, '\\x00')",
    "SELECT * FROM pg_largeobject LIMIT 5",
    "SELECT table_name, column_name FROM information_schema.columns LIMIT 50",
    "SELECT * FROM pg_statistic_ext_data LIMIT 5",
    "SELECT pg_stat_get_backend_activity(i) FROM pg_stat_get_backend_idset() i",
];

impl Maker<'_, '_> {
    /// Chooses another tenant by a setting, then looks.
    pub(super) fn setting(&mut self, pen: &mut Pen) -> bool {
        let victim = self.victim();
        if let Some(victim) = victim.as_ref().filter(|_| self.rng.chance(15)) {
            self.unseal(pen, &victim.tenant.to_string());
            pen.put("; ");
            self.payload(pen);
            return false;
        }
        if self.rng.chance(12)
            && let Some(relation) = self.relation().cloned()
        {
            // For whoever gets the session next.
            pen.put("SELECT set_config('app.memory', (SELECT string_agg(w::text, ',') FROM ");
            self.name(pen, &relation);
            pen.put(" w), false)");
            return true;
        }
        let name = self.rng.word(SETTINGS);
        let value = match (self.rng.below(8), &victim) {
            (0..3, Some(victim)) => victim.tenant.to_string(),
            (3..5, Some(victim)) => victim.tenant.simple().to_string(),
            (5, Some(victim)) => ["1.", &victim.tenant.to_string(), ".00"].concat(),
            (6, Some(victim)) => victim.schema.as_str().to_owned(),
            _ => "off".to_owned(),
        };
        match self.rng.below(10) {
            0..5 => {
                let local = self.rng.word(&[", true)", ", false)"]);
                pen.put("SELECT set_config(").literal(name).put(", ").literal(&value).put(local);
            }
            5 => drop(pen.put("SET LOCAL ").put(name).put(" = ").literal(&value)),
            6 => drop(pen.put("SET ").put(name).put(" = ").literal(&value)),
            7 => drop(pen.put("RESET ").put(name)),
            8 => {
                let all =
                    self.rng.word(&["RESET ALL", "DISCARD PLANS", "DISCARD ALL", "DISCARD SEQUENCES", "DISCARD TEMP"]);
                pen.put(all);
            }
            _ => {
                pen.put("UPDATE pg_settings SET setting = ").literal(&value).put(" WHERE name = ").literal(name);
            }
        }
        pen.put("; ");
        self.payload(pen);
        self.rng.chance(20)
    }

    /// Asks the seal itself, with proofs that are none.
    fn unseal(&mut self, pen: &mut Pen, victim: &str) {
        let proof = self.rng.word(&["'\\x00'::bytea", "NULL", "''::bytea", "sha256('')"]);
        let epoch = i64::try_from(1 + self.rng.below(2)).unwrap_or(1);
        match self.rng.below(4) {
            0 | 1 => {
                pen.put("SELECT seal.enter(").literal(victim).put("::uuid, ").int(epoch).put(", ").put(proof).put(")")
            }
            2 => {
                pen.put("SELECT seal.bind(1, ").literal(victim).put("::uuid, ").int(epoch).put(", ").put(proof).put(")")
            }
            _ => pen.put("SELECT seal.enter()"),
        };
    }

    pub(super) fn role(&mut self, pen: &mut Pen) {
        let roles = &self.adversary.model.roles;
        match (self.rng.below(6), self.victim()) {
            (0 | 1, Some(victim)) => drop(pen.put("SET LOCAL ROLE ").name(&victim.role)),
            (2, Some(victim)) => drop(pen.put("SET SESSION AUTHORIZATION ").name(&victim.role)),
            (3, _) => drop(pen.put("RESET ROLE; RESET SESSION AUTHORIZATION")),
            (4, _) if !roles.is_empty() => {
                if let Some(role) = self.rng.pick(roles) {
                    pen.put("SET LOCAL ROLE ").name(role);
                }
            }
            _ => drop(pen.put("SET ROLE NONE")),
        }
        pen.put("; ");
        self.payload(pen);
    }

    pub(super) fn path(&mut self, pen: &mut Pen) {
        let victim = self.victim();
        match (self.rng.below(3), victim) {
            (0 | 1, Some(victim)) => drop(pen.put("SET LOCAL search_path = ").name(&victim.schema).put(", pg_temp")),
            _ => {
                let path =
                    self.rng.word(&["pg_temp, app", "app, public", "\"$user\", app", "pg_catalog", "tenantry, seal"]);
                pen.put("SET LOCAL search_path = ").put(path);
            }
        }
        pen.put("; ");
        if let Some(relation) = self.relation().cloned() {
            pen.put("SELECT w::text FROM ").name(&relation.name).put(" w LIMIT 40");
        } else {
            pen.put("SELECT 1");
        }
    }

    /// True when the statement is left in the session.
    pub(super) fn prepare(&mut self, pen: &mut Pen) -> bool {
        let name = self.rng.word(&["p0", "p1", "p2", "s0", "s1"]);
        match self.rng.below(10) {
            0..6 => {
                pen.put("PREPARE ").put(name).put(" AS ");
                self.select(pen);
                pen.put("; EXECUTE ").put(name).put("; DEALLOCATE ").put(name);
                false
            }
            6 | 7 => {
                pen.put("PREPARE ").put(name).put(" AS ");
                self.payload(pen);
                true
            }
            8 => {
                pen.put("EXECUTE ").put(name);
                false
            }
            _ => {
                pen.put("DEALLOCATE ALL; ");
                self.payload(pen);
                false
            }
        }
    }

    pub(super) fn cursor(&mut self, pen: &mut Pen) -> bool {
        let kind =
            self.rng.word(&[" CURSOR FOR ", " SCROLL CURSOR FOR ", " CURSOR WITH HOLD FOR ", " BINARY CURSOR FOR "]);
        if self.rng.chance(12) {
            pen.put("FETCH ALL FROM c0");
            return false;
        }
        let name = self.rng.word(&["c0", "c1"]);
        pen.put("DECLARE ").put(name).put(kind);
        self.select(pen);
        let stays = self.rng.chance(25);
        if !stays {
            pen.put("; FETCH 20 FROM ").put(name).put("; CLOSE ").put(name);
        }
        stays
    }

    /// A DO block; what it learns it says in notices and errors, or by dynamic statements.
    pub(super) fn block(&mut self, pen: &mut Pen) {
        let mut query = Pen::new("");
        self.payload(&mut query);
        let query = query.done();
        let mut body = Pen::new("");
        match self.rng.below(6) {
            0 => {
                body.put("DECLARE r record; BEGIN FOR r IN ")
                    .sql(&query)
                    .put(" LOOP RAISE NOTICE '%', r; END LOOP; END");
            }
            1 => {
                body.put("DECLARE t text; BEGIN EXECUTE ")
                    .literal(query.as_str())
                    .put(" INTO t; RAISE NOTICE '%', t; END");
            }
            2 => {
                body.put("DECLARE t text; BEGIN EXECUTE ")
                    .literal(query.as_str())
                    .put(" INTO t; RAISE EXCEPTION '%', t; END");
            }
            3 => {
                let victim = self.victim().map(|victim| victim.tenant.simple().to_string()).unwrap_or_default();
                body.put("DECLARE t text; BEGIN PERFORM set_config('backtrace_functions', ").literal(&victim);
                body.put(", true); EXECUTE ")
                    .literal(query.as_str())
                    .put(" INTO t; RAISE NOTICE '%', t; EXCEPTION WHEN OTHERS THEN EXECUTE ");
                body.literal(query.as_str()).put(" INTO t; RAISE NOTICE '% %', SQLERRM, t; END");
            }
            4 => {
                body.put("DECLARE t text; BEGIN SET LOCAL row_security = off; EXECUTE ").literal(query.as_str());
                body.put(" INTO t; RAISE NOTICE '%', t; END");
            }
            _ => {
                let statement =
                    self.rng.word(&["COMMIT", "ROLLBACK", "RESET ALL", "SET ROLE NONE", "SET LOCAL search_path = app"]);
                body.put("DECLARE t text; BEGIN ").put(statement).put("; EXECUTE ").literal(query.as_str());
                body.put(" INTO t; RAISE NOTICE '%', t; END");
            }
        }
        pen.put("DO ").literal(body.done().as_str());
    }

    pub(super) fn temporary(&mut self, pen: &mut Pen) -> bool {
        let Some(relation) = self.relation().cloned() else {
            pen.put("CREATE TEMP TABLE shadow (x text)");
            return true;
        };
        match self.rng.below(4) {
            0 => drop(pen.put("CREATE TEMP TABLE ").name(&relation.name).put(" (tenant_id uuid, body text)")),
            1 => {
                pen.put("CREATE TEMP TABLE taken AS SELECT * FROM ");
                self.name(pen, &relation);
            }
            2 => {
                pen.put("CREATE TEMP VIEW ").name(&relation.name).put(" AS SELECT * FROM ");
                self.name(pen, &relation);
            }
            _ => drop(pen.put("SELECT * INTO TEMP taken FROM ").name(&relation.name)),
        }
        true
    }

    pub(super) fn catalog(&mut self, pen: &mut Pen) {
        let text = self.rng.word(CATALOG);
        pen.put(text);
    }

    /// Casts and divisions that fail with a value in the message, in the order that suits the attacker.
    pub(super) fn error(&mut self, pen: &mut Pen) {
        let Some(relation) = self.relation().cloned() else { return self.payload(pen) };
        let source = Source::of(self.alias(), &relation);
        let scope = Scope { sources: vec![source.clone()] };
        pen.put("SELECT ");
        match self.rng.below(5) {
            0 => drop(pen.put("(").put(source.alias).put("::text)::integer")),
            1 => drop(
                pen.put("1 / (length(").put(source.alias).put("::text) - length(").put(source.alias).put("::text))"),
            ),
            2 => drop(pen.put("(").put(source.alias).put("::text)::uuid")),
            3 => drop(pen.put("(").put(source.alias).put("::text)::jsonb -> 'x'")),
            _ => drop(pen.put("date_part(").put(source.alias).put("::text, now())")),
        }
        pen.put(" FROM ");
        self.name(pen, &relation);
        pen.put(" AS ").put(source.alias).put(" WHERE ");
        self.truth(pen, &scope);
    }

    pub(super) fn function(&mut self, pen: &mut Pen) {
        let functions = &self.adversary.model.functions;
        let choice = self.rng.below(10);
        if choice < 6
            && let Some(function) = self.rng.pick(functions)
        {
            let scope = self.scope();
            pen.put(if function.procedure { "CALL " } else { "SELECT * FROM " });
            pen.full(&function.schema, &function.name).put("(");
            for (index, (ty, base)) in function.arguments.iter().enumerate() {
                pen.put(if index > 0 { ", " } else { "" }).put("CAST(");
                if matches!(base, crate::model::Base::Text(_)) && self.rng.chance(30) {
                    pen.put("'%'");
                } else {
                    self.expression(pen, &scope, super::scope::kind_of(base));
                }
                pen.put(" AS ").full(&ty.schema, &ty.name).put(")");
            }
            pen.put(")");
            return;
        }
        let mut query = Pen::new("");
        self.payload(&mut query);
        match choice {
            6 => drop(pen.put("SELECT query_to_xml(").literal(query.done().as_str()).put(", true, true, '')")),
            7 => drop(
                pen.put("SELECT * FROM dblink('dbname=postgres', ")
                    .literal(query.done().as_str())
                    .put(") AS t(x text)"),
            ),
            8 => drop(pen.put("SELECT pg_read_file('PG_VERSION'), lo_get(1)")),
            _ => {
                let victim = self.victim().map(|victim| victim.schema.as_str().to_owned()).unwrap_or_default();
                pen.put("SELECT schema_to_xml(").literal(&victim).put(", true, true, '')");
            }
        }
    }

    pub(super) fn definition(&mut self, pen: &mut Pen) {
        let Some(table) = self.table().cloned() else { return self.payload(pen) };
        let named = |pen: &mut Pen, before: &'static str, after: &'static str| {
            pen.put(before).full(&table.schema, &table.name).put(after);
        };
        match self.rng.below(8) {
            0 => named(pen, "ALTER TABLE ", " DISABLE ROW LEVEL SECURITY"),
            1 => named(pen, "CREATE POLICY mine ON ", " USING (true)"),
            2 => named(pen, "TRUNCATE ", ""),
            3 => named(pen, "GRANT ALL ON ", " TO PUBLIC"),
            4 => named(pen, "DROP POLICY tenantry_tenant ON ", ""),
            5 => named(pen, "CREATE VIEW app.mine AS SELECT * FROM ", ""),
            6 => drop(pen.put("CREATE FUNCTION pg_temp.mine() RETURNS text LANGUAGE sql AS 'SELECT 1::text'")),
            _ => named(pen, "CREATE RULE mine AS ON SELECT TO ", " DO INSTEAD SELECT 1"),
        }
        pen.put("; ");
        self.payload(pen);
    }

    pub(super) fn savepoint(&mut self, pen: &mut Pen) {
        pen.put("SAVEPOINT mine; ");
        let escape = self.rng.word(&[
            "SELECT set_config('search_path', 'app', true); ",
            "SET LOCAL role = 'none'; ",
            "RESET ALL; ",
            "SELECT set_config('tenantry.context', '', true); ",
        ]);
        pen.put(escape).put("ROLLBACK TO mine; ");
        self.payload(pen);
    }

    pub(super) fn transaction(&mut self, pen: &mut Pen) {
        let words = self.rng.word(&[
            "COMMIT; BEGIN; ",
            "ROLLBACK; ",
            "COMMIT; ",
            "COMMIT AND CHAIN; ",
            "ROLLBACK; BEGIN ISOLATION LEVEL SERIALIZABLE; ",
            "PREPARE TRANSACTION 'mine'; ",
            "COMMIT; SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY; BEGIN; ",
        ]);
        pen.put(words);
        self.payload(pen);
    }
}
