//! Rules about statements that leave something in the session, where the next tenant may find it.

use super::Severity::{Error, Warning};
use super::{ALL, COMMON, Example, Rule, SHARED};

pub const RULES: &[Rule] = &[
    Rule {
        id: "TL301",
        severity: Error,
        tiers: ALL,
        title: "the role of the session is changed",
        explanation: "SET ROLE and SET SESSION AUTHORIZATION decide by whose rights everything after them runs, and a \
                      pool hands the session on. Connect as the role that is meant.",
        bad: "SET ROLE reporting",
        good: "SELECT id FROM orders WHERE tenant_id = $1",
        example: Example::Plain,
    },
    Rule {
        id: "TL302",
        severity: Error,
        tiers: ALL,
        title: "the tenant of the session is set by hand",
        explanation: "A setting that SQL may write is no boundary: an injected statement writes it too. Tenantry seals \
                      the tenant when the transaction begins. Setting, resetting or discarding it is a mistake or an \
                      attack.",
        bad: "SELECT set_config('app.tenant_id', $1, false)",
        good: "SELECT current_setting('app.tenant_id', true)",
        example: Example::Plain,
    },
    Rule {
        id: "TL303",
        severity: Warning,
        tiers: COMMON,
        title: "a setting outlives the transaction",
        explanation: "What SET changes stays in the session, and a pool hands the session to another tenant. Use SET \
                      LOCAL inside of a transaction. Timeouts and what pg_dump writes at the top of a file are not \
                      reported.",
        bad: "SET work_mem = '512MB'",
        good: "SET LOCAL work_mem = '512MB'",
        example: Example::Plain,
    },
    Rule {
        id: "TL304",
        severity: Warning,
        tiers: COMMON,
        title: "a statement is prepared by SQL",
        explanation: "A name that PREPARE gives stays in the session: another tenant's EXECUTE of that name runs this \
                      text. Let the driver prepare statements, which Tenantry's router keeps apart.",
        bad: "PREPARE latest AS SELECT id FROM orders WHERE tenant_id = $1",
        good: "SELECT id FROM orders WHERE tenant_id = $1",
        example: Example::Plain,
    },
    Rule {
        id: "TL305",
        severity: Warning,
        tiers: COMMON,
        title: "a channel is common to all tenants of the database",
        explanation: "LISTEN and NOTIFY know the database, not the tenant: whoever listens hears all. Put the tenant into \
                      the name of the channel, keep data out of the payload, and allow the statement.",
        bad: "NOTIFY orders, 'created'",
        good: "INSERT INTO outbox (tenant_id, topic) VALUES ($1, 'orders')",
        example: Example::Plain,
    },
    Rule {
        id: "TL306",
        severity: Warning,
        tiers: COMMON,
        title: "an advisory lock is common to all tenants of the database",
        explanation: "Advisory locks are numbers of the database. Two tenants with the same number wait for each other, \
                      and a lock of the session outlives the transaction. Derive the number from the tenant and use the \
                      forms with `xact`; a lock whose arguments call the context function is not reported.",
        bad: "SELECT pg_advisory_lock(42)",
        good: "SELECT pg_advisory_xact_lock(hashtextextended(tenantry.current_tenant()::text, 42))",
        example: Example::Plain,
    },
    Rule {
        id: "TL307",
        severity: Error,
        tiers: COMMON,
        title: "a temporary table stays in the session",
        explanation: "A temporary table hides the real one of its name, and the next tenant on the session writes into \
                      it. Use a common table expression. Tenantry revokes the right to make one.",
        bad: "CREATE TEMP TABLE picked AS SELECT id FROM orders WHERE tenant_id = $1",
        good: "WITH picked AS (SELECT id FROM orders WHERE tenant_id = $1) SELECT count(*) FROM picked",
        example: Example::Plain,
    },
    Rule {
        id: "TL308",
        severity: Warning,
        tiers: COMMON,
        title: "an anonymous block runs code",
        explanation: "What DO runs is decided at run time, and it can leave anything in the session. Its statements are \
                      judged like others; what it puts together cannot be, and is TL003.",
        bad: "DO $$ BEGIN PERFORM 1; END $$",
        good: "SELECT 1",
        example: Example::Plain,
    },
    Rule {
        id: "TL309",
        severity: Warning,
        tiers: SHARED,
        title: "EXPLAIN tells about other tenants",
        explanation: "Estimates come from statistics over the rows of all tenants. Whoever reads the plan learns how \
                      common a value is among them. Keep EXPLAIN out of what tenants can reach.",
        bad: "EXPLAIN SELECT id FROM orders WHERE tenant_id = $1 AND status = 'bankrupt'",
        good: "SELECT id FROM orders WHERE tenant_id = $1 AND status = 'bankrupt'",
        example: Example::Plain,
    },
    Rule {
        id: "TL310",
        severity: Warning,
        tiers: COMMON,
        title: "a cursor outlives the transaction",
        explanation: "A cursor WITH HOLD keeps its rows in the session after the transaction, for whoever comes next.",
        bad: "DECLARE c CURSOR WITH HOLD FOR SELECT id FROM orders WHERE tenant_id = $1",
        good: "DECLARE c CURSOR FOR SELECT id FROM orders WHERE tenant_id = $1",
        example: Example::Plain,
    },
    Rule {
        id: "TL311",
        severity: Error,
        tiers: ALL,
        title: "files or programs of the server are reached",
        explanation: "COPY with a file or a program, and functions that read files or open connections, act with the \
                      rights of the server, past every policy.",
        bad: "COPY (SELECT id FROM orders WHERE tenant_id = $1) TO PROGRAM 'gzip > /tmp/orders'",
        good: "COPY (SELECT id FROM orders WHERE tenant_id = $1) TO STDOUT",
        example: Example::Plain,
    },
];
