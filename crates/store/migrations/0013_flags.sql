-- What an environment says about features beyond its plans and tenants, and how often features are used.

CREATE TABLE tenantry.flag (
    env text NOT NULL,
    name text COLLATE "C" NOT NULL,
    -- Absent once the flag was removed: its version goes on counting if it is made again.
    spec jsonb,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    updated_by text NOT NULL,
    CONSTRAINT flag_pkey PRIMARY KEY (env, name)
);

-- Counted by the day, for reports; nothing is decided by it. Without a reference to the tenant, so that counting waits for
-- nobody who changes it.
CREATE TABLE tenantry.feature_use (
    env text NOT NULL,
    tenant uuid NOT NULL,
    day date NOT NULL,
    feature text COLLATE "C" NOT NULL,
    uses bigint NOT NULL,
    CONSTRAINT feature_use_pkey PRIMARY KEY (env, tenant, day, feature)
) WITH (fillfactor = 70);
CREATE INDEX feature_use_day ON tenantry.feature_use (day);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tenantry_serve') THEN
        GRANT SELECT, INSERT, UPDATE ON tenantry.flag TO tenantry_serve;
        GRANT SELECT, INSERT, UPDATE, DELETE ON tenantry.feature_use TO tenantry_serve;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'rights were not granted: the migrating role does not own the tables';
END
$$;
