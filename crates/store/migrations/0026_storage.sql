-- Whose turn it is to measure what tenants' data takes on a cell: one process at a time, and not more often than is wanted.

CREATE TABLE tenantry.storage_turn (
    env text NOT NULL,
    cell text NOT NULL,
    due_at timestamptz NOT NULL,
    CONSTRAINT storage_turn_pkey PRIMARY KEY (env, cell)
) WITH (fillfactor = 70);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tenantry_serve') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON tenantry.storage_turn TO tenantry_serve;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'rights of role tenantry_serve were not granted: the migrating role does not own the tables';
END
$$;
