//! Rules about statements that read and change rows.

use super::Severity::{Error, Warning};
use super::{COMMON, Example, Rule, SHARED};

pub const RULES: &[Rule] = &[
    Rule {
        id: "TL101",
        severity: Error,
        tiers: SHARED,
        title: "a tenant table is read without a tenant",
        explanation: "Every reference of a tenant table needs its tenant column equated with a parameter, a constant \
                      or the context, or with the tenant column of a table that is bound. Lists, ranges, `<>`, `IS \
                      NULL` and one branch of an OR bind nothing.",
        bad: "SELECT o.id FROM orders o JOIN customers c ON c.id = o.customer_id WHERE c.tenant_id = $1",
        good: "SELECT o.id FROM orders o JOIN customers c ON c.tenant_id = o.tenant_id AND c.id = o.customer_id WHERE \
               c.tenant_id = $1",
        example: Example::Plain,
    },
    Rule {
        id: "TL102",
        severity: Error,
        tiers: SHARED,
        title: "rows are updated without a tenant",
        explanation: "The condition does not bind the tenant column of the table that is updated. In a migration, \
                      remember that it runs without a tenant and sees no rows: fill columns by a default.",
        bad: "UPDATE orders SET status = 'void' WHERE id = $1",
        good: "UPDATE orders SET status = 'void' WHERE tenant_id = $1 AND id = $2",
        example: Example::Plain,
    },
    Rule {
        id: "TL103",
        severity: Error,
        tiers: SHARED,
        title: "rows are deleted without a tenant",
        explanation: "The condition does not bind the tenant column of the table that rows are deleted from.",
        bad: "DELETE FROM orders WHERE created_at < now() - interval '1 year'",
        good: "DELETE FROM orders WHERE tenant_id = tenantry.current_tenant() AND created_at < now() - interval '1 year'",
        example: Example::Plain,
    },
    Rule {
        id: "TL104",
        severity: Error,
        tiers: SHARED,
        title: "an inserted row gets its tenant from an unbound source",
        explanation: "The tenant column is given a column or an expression that can differ from the tenant of the \
                      transaction. Give it a parameter or the context, select it from bound rows, or leave it out.",
        bad: "INSERT INTO orders (tenant_id, id) SELECT r.tenant, r.id FROM jsonb_to_recordset($1) AS r (tenant uuid, id \
              uuid)",
        good: "INSERT INTO orders (tenant_id, id) SELECT $1, r.id FROM jsonb_to_recordset($2) AS r (id uuid)",
        example: Example::Plain,
    },
    Rule {
        id: "TL105",
        severity: Error,
        tiers: SHARED,
        title: "the tenant of a row is changed",
        explanation: "A row belongs to the tenant that inserted it. Assigning the tenant column moves the row to \
                      another tenant, or, with the same value, hides that somebody could.",
        bad: "UPDATE orders SET tenant_id = $2 WHERE tenant_id = $1 AND id = $3",
        good: "UPDATE orders SET customer_id = $2 WHERE tenant_id = $1 AND id = $3",
        example: Example::Plain,
    },
    Rule {
        id: "TL106",
        severity: Error,
        tiers: SHARED,
        title: "rows are merged without a tenant",
        explanation: "The join condition of MERGE does not bind the target, or a clause for rows that are not matched \
                      acts on rows that it does not restrict.",
        bad: "MERGE INTO orders o USING (SELECT $1::uuid AS id) s ON o.id = s.id WHEN MATCHED THEN DELETE",
        good: "MERGE INTO orders o USING (SELECT $1::uuid AS id) s ON o.tenant_id = $2 AND o.id = s.id WHEN MATCHED THEN \
               DELETE",
        example: Example::Plain,
    },
    Rule {
        id: "TL107",
        severity: Error,
        tiers: SHARED,
        title: "ON CONFLICT may update a row of another tenant",
        explanation: "The conflict is looked for without the tenant column, so the row in conflict can be anybody's. \
                      Name the tenant column in the conflict target, which needs a unique key that has it.",
        bad: "INSERT INTO customers (tenant_id, email) VALUES ($1, $2) ON CONFLICT (email) DO UPDATE SET name = $3",
        good: "INSERT INTO customers (tenant_id, email) VALUES ($1, $2) ON CONFLICT (tenant_id, email) DO UPDATE SET name \
               = $3",
        example: Example::Plain,
    },
    Rule {
        id: "TL108",
        severity: Warning,
        tiers: SHARED,
        title: "an inserted row leaves its tenant to the default",
        explanation: "Only with `--no-default`: the statement does not say whose row it inserts. Under Tenantry the \
                      column defaults to the tenant of the transaction, which is the safest source there is.",
        bad: "INSERT INTO orders (id) VALUES ($1)",
        good: "INSERT INTO orders (tenant_id, id) VALUES ($1, $2)",
        example: Example::NoDefault,
    },
    Rule {
        id: "TL109",
        severity: Warning,
        tiers: SHARED,
        title: "an INSERT names no columns",
        explanation: "Which value goes into the tenant column depends on the order of columns, which nobody sees here \
                      and a migration may change. List the columns.",
        bad: "INSERT INTO invoices VALUES ($1, $2, $3)",
        good: "INSERT INTO invoices (tenant_id, id, total) VALUES ($1, $2, $3)",
        example: Example::Plain,
    },
    Rule {
        id: "TL110",
        severity: Error,
        tiers: SHARED,
        title: "a tenant table is copied as a whole",
        explanation: "COPY of a table has no condition. Copy a query that binds the tenant; load rows by INSERT, since \
                      COPY FROM does not work under row-level security.",
        bad: "COPY orders TO STDOUT",
        good: "COPY (SELECT id, status FROM orders WHERE tenant_id = tenantry.current_tenant()) TO STDOUT",
        example: Example::Plain,
    },
    Rule {
        id: "TL111",
        severity: Error,
        tiers: SHARED,
        title: "a tenant table is emptied for all tenants",
        explanation: "TRUNCATE is not bound by row-level security and takes the rows of every tenant. Delete the rows of \
                      one.",
        bad: "TRUNCATE orders",
        good: "DELETE FROM orders WHERE tenant_id = $1",
        example: Example::Plain,
    },
    Rule {
        id: "TL112",
        severity: Error,
        tiers: COMMON,
        title: "the schema of one tenant is named",
        explanation: "A name such as `t_<uuid>.orders` belongs to one tenant. Leave the schema out: the search path of \
                      the transaction points to the right one at every level.",
        bad: "SELECT id FROM t_01a1fb3eb7ce7677ad2fc29f3bd980d4.countries",
        good: "SELECT code FROM countries",
        example: Example::Plain,
    },
];
