//! Rules about changes of structure under load: what locks, rewrites, or breaks the version that still runs.

use super::Severity::{Error, Warning};
use super::{ALL, Example, Rule};

pub const RULES: &[Rule] = &[
    Rule {
        id: "TL401",
        severity: Warning,
        tiers: ALL,
        title: "a new column rewrites the table",
        explanation: "A default that differs from row to row, a stored generated column or an identity has to be written \
                      into every row while the table is locked. Add the column without it, set the default for new rows, \
                      and fill the old ones in batches.",
        bad: "ALTER TABLE orders ADD COLUMN token uuid DEFAULT gen_random_uuid()",
        good: "ALTER TABLE orders ADD COLUMN token uuid; ALTER TABLE orders ALTER COLUMN token SET DEFAULT \
               gen_random_uuid()",
        example: Example::Plain,
    },
    Rule {
        id: "TL402",
        severity: Error,
        tiers: ALL,
        title: "a new column is required and has no default",
        explanation: "The statement fails as soon as there is a row, and the version that still runs cannot insert any. \
                      Give a constant default, which PostgreSQL keeps in the catalog.",
        bad: "ALTER TABLE orders ADD COLUMN channel text NOT NULL",
        good: "ALTER TABLE orders ADD COLUMN channel text NOT NULL DEFAULT 'web'",
        example: Example::Plain,
    },
    Rule {
        id: "TL403",
        severity: Warning,
        tiers: ALL,
        title: "an index is made or dropped while writers wait",
        explanation: "CREATE INDEX holds off writers of an existing table until it is done. CONCURRENTLY does not, but \
                      cannot run inside of a transaction: in a migration that Tenantry runs, build the index of a large \
                      table beforehand and use IF NOT EXISTS here.",
        bad: "CREATE INDEX orders_status ON orders (tenant_id, status)",
        good: "CREATE INDEX CONCURRENTLY orders_status ON orders (tenant_id, status)",
        example: Example::Plain,
    },
    Rule {
        id: "TL404",
        severity: Warning,
        tiers: ALL,
        title: "the type of a column is changed",
        explanation: "Most changes of a type rewrite the table under a lock that stops readers too, and the version that \
                      still runs expects the old one. Add a second column and move over.",
        bad: "ALTER TABLE orders ALTER COLUMN total TYPE numeric(12, 2)",
        good: "ALTER TABLE orders ADD COLUMN total_exact numeric(12, 2)",
        example: Example::Plain,
    },
    Rule {
        id: "TL405",
        severity: Warning,
        tiers: ALL,
        title: "a constraint is checked for all rows at once",
        explanation: "Adding a foreign key or a check, or SET NOT NULL, reads the whole table while writers wait. Add it \
                      NOT VALID and validate it in a second migration; make the index of a unique key beforehand and add \
                      it USING INDEX.",
        bad: "ALTER TABLE orders ADD CONSTRAINT total_positive CHECK (total >= 0)",
        good: "ALTER TABLE orders ADD CONSTRAINT total_positive CHECK (total >= 0) NOT VALID",
        example: Example::Plain,
    },
    Rule {
        id: "TL406",
        severity: Warning,
        tiers: ALL,
        title: "something is taken away that the running version may use",
        explanation: "Dropping or renaming a table or column is the last step of a change: it may come only when no \
                      version runs that knows the old name. Then allow it with that reason.",
        bad: "ALTER TABLE orders RENAME COLUMN total TO amount",
        good: "ALTER TABLE orders ADD COLUMN amount numeric",
        example: Example::Plain,
    },
    Rule {
        id: "TL407",
        severity: Warning,
        tiers: ALL,
        title: "a table is rewritten under a full lock",
        explanation: "VACUUM FULL, CLUSTER, REINDEX without CONCURRENTLY and moves between tablespaces or access methods \
                      hold off everybody until the whole table is written anew.",
        bad: "REINDEX TABLE orders",
        good: "REINDEX TABLE CONCURRENTLY orders",
        example: Example::Plain,
    },
    Rule {
        id: "TL408",
        severity: Warning,
        tiers: ALL,
        title: "a table is locked by hand",
        explanation: "LOCK TABLE stops all tenants for the sake of one. Lock rows with FOR UPDATE.",
        bad: "LOCK TABLE orders IN EXCLUSIVE MODE",
        good: "SELECT id FROM orders WHERE tenant_id = $1 AND id = $2 FOR UPDATE",
        example: Example::Plain,
    },
];
