//! Rules about tables, policies, rights and what else a migration makes.

use super::Severity::{Error, Warning};
use super::{ALL, Example, Rule, SHARED};

pub const RULES: &[Rule] = &[
    Rule {
        id: "TL201",
        severity: Error,
        tiers: ALL,
        title: "a table has no tenant column",
        explanation: "Rows that belong to nobody are seen by everybody. Give the table the tenant column, at every level, \
                      so that a tenant can move; or declare the table as a reference table of the app.",
        bad: "CREATE TABLE invoices (id uuid PRIMARY KEY)",
        good: "CREATE TABLE invoices (tenant_id uuid NOT NULL, id uuid, PRIMARY KEY (tenant_id, id))",
        example: Example::Plain,
    },
    Rule {
        id: "TL202",
        severity: Error,
        tiers: ALL,
        title: "the tenant column may be empty",
        explanation: "A row without a tenant is seen by no tenant and found by no clean-up. Declare the column NOT NULL, \
                      or make it part of the primary key.",
        bad: "CREATE TABLE invoices (tenant_id uuid, id uuid NOT NULL, UNIQUE (tenant_id, id))",
        good: "CREATE TABLE invoices (tenant_id uuid NOT NULL, id uuid NOT NULL, UNIQUE (tenant_id, id))",
        example: Example::Plain,
    },
    Rule {
        id: "TL203",
        severity: Error,
        tiers: ALL,
        title: "the tenant column has another type",
        explanation: "Tenants are uuids in Tenantry, and a policy that has to cast the column cannot use an index. A \
                      generated tenant column is refused too. `--tenant-type any` takes every type.",
        bad: "CREATE TABLE invoices (tenant_id bigint NOT NULL, id uuid, PRIMARY KEY (tenant_id, id))",
        good: "CREATE TABLE invoices (tenant_id uuid NOT NULL, id uuid, PRIMARY KEY (tenant_id, id))",
        example: Example::Plain,
    },
    Rule {
        id: "TL204",
        severity: Error,
        tiers: SHARED,
        title: "a key is unique among all tenants",
        explanation: "Uniqueness is checked past row-level security: an error tells one tenant that another has the \
                      value. Put the tenant column into every primary key, unique constraint, unique index and exclusion.",
        bad: "CREATE TABLE invoices (tenant_id uuid NOT NULL, id uuid PRIMARY KEY)",
        good: "CREATE TABLE invoices (tenant_id uuid NOT NULL, id uuid, PRIMARY KEY (tenant_id, id))",
        example: Example::Plain,
    },
    Rule {
        id: "TL205",
        severity: Error,
        tiers: SHARED,
        title: "a foreign key can point to another tenant's row",
        explanation: "Foreign keys are checked past row-level security: without the tenant column on both sides a row may \
                      refer to another tenant's, and ON DELETE CASCADE deletes across.",
        bad: "CREATE TABLE invoices (tenant_id uuid NOT NULL, id uuid, order_id uuid REFERENCES orders (id), PRIMARY KEY \
              (tenant_id, id))",
        good: "CREATE TABLE invoices (tenant_id uuid NOT NULL, id uuid, order_id uuid, PRIMARY KEY (tenant_id, id), FOREIGN \
               KEY (tenant_id, order_id) REFERENCES orders (tenant_id, id))",
        example: Example::Plain,
    },
    Rule {
        id: "TL206",
        severity: Warning,
        tiers: SHARED,
        title: "no index leads with the tenant column",
        explanation: "Every statement looks for the rows of one tenant. Without an index that begins with the tenant \
                      column it reads those of all. Tenantry adds a plain one, which is rarely the best.",
        bad: "CREATE TABLE invoices (tenant_id uuid NOT NULL, id uuid, PRIMARY KEY (id, tenant_id))",
        good: "CREATE TABLE invoices (tenant_id uuid NOT NULL, id uuid, PRIMARY KEY (tenant_id, id))",
        example: Example::Plain,
    },
    Rule {
        id: "TL207",
        severity: Error,
        tiers: SHARED,
        title: "a tenant table is not logged",
        explanation: "An unlogged table is empty after a crash and is not on any replica or backup. Tenantry refuses it.",
        bad: "CREATE UNLOGGED TABLE invoices (tenant_id uuid NOT NULL, id uuid, PRIMARY KEY (tenant_id, id))",
        good: "CREATE TABLE invoices (tenant_id uuid NOT NULL, id uuid, PRIMARY KEY (tenant_id, id))",
        example: Example::Plain,
    },
    Rule {
        id: "TL208",
        severity: Error,
        tiers: ALL,
        title: "a tenant table is left without row-level security",
        explanation: "Only with `--require-guard`: the inputs create a tenant table and do not enable row-level security, \
                      force it, and create the policy. Tenantry does all three after a migration.",
        bad: "CREATE TABLE invoices (tenant_id uuid NOT NULL, id uuid, PRIMARY KEY (tenant_id, id))",
        good: "CREATE TABLE invoices (tenant_id uuid NOT NULL, id uuid, PRIMARY KEY (tenant_id, id));\nALTER TABLE invoices \
               ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;\nCREATE POLICY tenant ON invoices USING (tenant_id = \
               (SELECT tenantry.current_tenant()))",
        example: Example::RequireGuard,
    },
    Rule {
        id: "TL209",
        severity: Error,
        tiers: ALL,
        title: "a policy says something else than the canonical one",
        explanation: "Permissive policies add up, so a second one can only open the table. The canonical text is \
                      `tenant_id = (SELECT tenantry.current_tenant())`: a cast of the column loses the index, a bare call \
                      runs per row, a setting can be forged. Restrictive policies are free.",
        bad: "CREATE POLICY p ON orders USING (tenant_id::text = current_setting('app.tenant_id'))",
        good: "CREATE POLICY p ON orders USING (tenant_id = (SELECT tenantry.current_tenant()))",
        example: Example::Plain,
    },
    Rule {
        id: "TL210",
        severity: Error,
        tiers: ALL,
        title: "row-level security is taken off",
        explanation: "DISABLE shows all rows to everybody, NO FORCE to the owner, and DROP or ALTER POLICY changes who \
                      sees what. Tenantry puts it back and reports the drift.",
        bad: "ALTER TABLE orders DISABLE ROW LEVEL SECURITY",
        good: "ALTER TABLE orders ENABLE ROW LEVEL SECURITY",
        example: Example::Plain,
    },
    Rule {
        id: "TL211",
        severity: Error,
        tiers: ALL,
        title: "a view reads with the rights of its owner",
        explanation: "Policies are judged for the owner of a view, unless it says `security_invoker`. Say so on every view, and \
                      leave it there.",
        bad: "CREATE VIEW open_orders AS SELECT tenant_id, id FROM orders WHERE status = 'open'",
        good: "CREATE VIEW open_orders WITH (security_invoker = true) AS SELECT tenant_id, id FROM orders WHERE status = \
               'open'",
        example: Example::Plain,
    },
    Rule {
        id: "TL212",
        severity: Error,
        tiers: SHARED,
        title: "a materialized view keeps rows of all tenants",
        explanation: "A materialized view has no row-level security: whoever may read it reads everything. Keep the result \
                      in a tenant table, or compute it.",
        bad: "CREATE MATERIALIZED VIEW sales AS SELECT tenant_id, count(*) FROM orders GROUP BY tenant_id",
        good: "CREATE VIEW sales WITH (security_invoker) AS SELECT tenant_id, count(*) FROM orders GROUP BY tenant_id",
        example: Example::Plain,
    },
    Rule {
        id: "TL213",
        severity: Error,
        tiers: SHARED,
        title: "a function runs with the rights of its owner",
        explanation: "SECURITY DEFINER runs as the owner of the function, past the caller's rights; without its own \
                      search_path the caller even chooses what its names mean. Leave it out.",
        bad: "CREATE FUNCTION order_count() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
        good: "CREATE FUNCTION order_count() RETURNS bigint LANGUAGE sql AS 'SELECT 1'",
        example: Example::Plain,
    },
    Rule {
        id: "TL214",
        severity: Error,
        tiers: SHARED,
        title: "a function is declared leakproof",
        explanation: "PostgreSQL runs a leakproof function before the policy, on rows of all tenants. If it can show its \
                      argument in any way, it leaks.",
        bad: "CREATE FUNCTION same(a text, b text) RETURNS boolean LANGUAGE sql LEAKPROOF AS 'SELECT a = b'",
        good: "CREATE FUNCTION same(a text, b text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT a = b'",
        example: Example::Plain,
    },
    Rule {
        id: "TL215",
        severity: Error,
        tiers: ALL,
        title: "a right is given to everybody",
        explanation: "PUBLIC is every role of the server, those of other tenants included. Grant to the role that needs it.",
        bad: "GRANT SELECT ON orders TO PUBLIC",
        good: "GRANT SELECT ON orders TO app",
        example: Example::Plain,
    },
    Rule {
        id: "TL216",
        severity: Error,
        tiers: ALL,
        title: "a right is given that row-level security does not bind",
        explanation: "TRUNCATE empties the table for all tenants, REFERENCES tests for rows of others, TRIGGER runs code on \
                      their writes. ALL has the three of them. Grant SELECT, INSERT, UPDATE, DELETE.",
        bad: "GRANT ALL ON orders TO app",
        good: "GRANT SELECT, INSERT, UPDATE, DELETE ON orders TO app",
        example: Example::Plain,
    },
    Rule {
        id: "TL217",
        severity: Error,
        tiers: ALL,
        title: "a role can pass the policies",
        explanation: "SUPERUSER and BYPASSRLS are past every policy; REPLICATION, CREATEROLE, CREATEDB and the roles of \
                      PostgreSQL that read or write everything are ways to it. So is membership in an owner of tables, or in a role of \
                      Tenantry. No login of an app may have them.",
        bad: "ALTER ROLE app BYPASSRLS",
        good: "ALTER ROLE app LOGIN",
        example: Example::Plain,
    },
    Rule {
        id: "TL218",
        severity: Error,
        tiers: ALL,
        title: "a publication sends the rows of all tenants",
        explanation: "Nobody asks policies what a publication sends: a tenant table goes out whole, and with FOR ALL TABLES \
                      Tenantry's own tables too, with the key of the seal. Publish named tables with a row filter that \
                      compares the tenant column with a constant.",
        bad: "CREATE PUBLICATION events FOR ALL TABLES",
        good: "CREATE PUBLICATION events FOR TABLE orders WHERE (tenant_id = '01a1fb3e-b7ce-7677-ad2f-c29f3bd980d4')",
        example: Example::Plain,
    },
    Rule {
        id: "TL219",
        severity: Error,
        tiers: SHARED,
        title: "a foreign table has no row-level security",
        explanation: "Rows of another server come without policies and with the rights of the user mapping.",
        bad: "CREATE FOREIGN TABLE archive (tenant_id uuid, id uuid) SERVER cold",
        good: "CREATE TABLE archive (tenant_id uuid NOT NULL, id uuid, PRIMARY KEY (tenant_id, id))",
        example: Example::Plain,
    },
    Rule {
        id: "TL220",
        severity: Error,
        tiers: SHARED,
        title: "a rule rewrites statements",
        explanation: "A rule turns a statement into others that run with the rights of the table's owner. Use a trigger.",
        bad: "CREATE RULE keep AS ON DELETE TO orders DO INSTEAD NOTHING",
        good: "CREATE TRIGGER keep BEFORE DELETE ON orders FOR EACH ROW EXECUTE FUNCTION refuse()",
        example: Example::Plain,
    },
    Rule {
        id: "TL221",
        severity: Error,
        tiers: ALL,
        title: "an object gets another owner",
        explanation: "The owner of a table can take its policies off. Under Tenantry a role owns everything that nobody \
                      can log in as; it is put back, and reported as drift.",
        bad: "ALTER TABLE orders OWNER TO app",
        good: "ALTER TABLE orders ADD COLUMN note text",
        example: Example::Plain,
    },
    Rule {
        id: "TL222",
        severity: Error,
        tiers: SHARED,
        title: "the tenant column is dropped or gets another name",
        explanation: "Without the column nothing tells the rows of tenants apart, no policy can be made, and nobody who reads \
                      the table or view is asked for a tenant any more. The table counts as one of tenants all the same.",
        bad: "ALTER TABLE orders RENAME COLUMN tenant_id TO owner_id",
        good: "ALTER TABLE orders ADD COLUMN owner_id uuid",
        example: Example::Plain,
    },
    Rule {
        id: "TL223",
        severity: Error,
        tiers: SHARED,
        title: "the tenant column has a constant default",
        explanation: "A row that names no tenant lands with one and the same, whoever inserts it. Leave the default out: \
                      Tenantry sets one that is the tenant of the transaction.",
        bad: "ALTER TABLE orders ALTER COLUMN tenant_id SET DEFAULT '01a1fb3e-b7ce-7677-ad2f-c29f3bd980d4'",
        good: "ALTER TABLE orders ALTER COLUMN tenant_id SET DEFAULT tenantry.current_tenant()",
        example: Example::Plain,
    },
];
