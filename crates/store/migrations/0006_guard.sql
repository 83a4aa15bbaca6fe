-- What the guard, and later the leak probe, found at the cells: whose turn it is, each place as it is, its last states.

-- One row per cell and kind of look. The newest claim has the highest fence, and only its holder ends the turn.
CREATE TABLE tenantry.isolation_turn (
    env text NOT NULL,
    cell text NOT NULL,
    kind text NOT NULL CONSTRAINT isolation_turn_kind CHECK (kind IN ('guard', 'probe')),
    due_at timestamptz NOT NULL,
    -- Somebody does not want to wait for it.
    requested_at timestamptz,
    owner uuid,
    lease_until timestamptz,
    fence bigint NOT NULL DEFAULT 0,
    began_at timestamptz,
    -- The last time that every place of the cell was looked at.
    ended_at timestamptz,
    -- Why the last turn did not reach every place.
    failure text,
    CONSTRAINT isolation_turn_pkey PRIMARY KEY (env, cell, kind)
) WITH (fillfactor = 70);

-- A place as it was found last. `open` holds its critical and high findings with the time since when each is known.
CREATE TABLE tenantry.isolation_place (
    env text NOT NULL,
    cell text NOT NULL,
    kind text NOT NULL CONSTRAINT isolation_place_kind CHECK (kind IN ('guard', 'probe')),
    place text NOT NULL,
    -- Whose database it is; absent for what tenants have in common.
    tenant uuid,
    -- The number of its present state in `isolation_report`.
    seq bigint NOT NULL,
    taken_at timestamptz NOT NULL,
    critical bigint NOT NULL,
    high bigint NOT NULL,
    medium bigint NOT NULL,
    low bigint NOT NULL,
    open jsonb NOT NULL,
    CONSTRAINT isolation_place_pkey PRIMARY KEY (env, cell, kind, place)
) WITH (fillfactor = 70);
CREATE INDEX isolation_place_tenant ON tenantry.isolation_place (env, tenant) WHERE tenant IS NOT NULL;

-- States of a place, the newest thirty: a look that finds what the one before found takes its row.
CREATE TABLE tenantry.isolation_report (
    env text NOT NULL,
    cell text NOT NULL,
    kind text NOT NULL,
    place text NOT NULL,
    seq bigint NOT NULL,
    -- Of the findings: equal states have equal digests.
    digest bytea NOT NULL CONSTRAINT isolation_report_digest CHECK (octet_length(digest) = 32),
    since timestamptz NOT NULL,
    taken_at timestamptz NOT NULL,
    -- The signed report, to the byte.
    document text NOT NULL,
    CONSTRAINT isolation_report_pkey PRIMARY KEY (env, cell, kind, place, seq),
    CONSTRAINT isolation_report_place FOREIGN KEY (env, cell, kind, place)
        REFERENCES tenantry.isolation_place (env, cell, kind, place) ON DELETE CASCADE
);
ALTER TABLE tenantry.isolation_report ALTER document SET STATISTICS 0;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tenantry_serve') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON tenantry.isolation_turn, tenantry.isolation_place,
            tenantry.isolation_report TO tenantry_serve;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'rights of role tenantry_serve were not granted: the migrating role does not own the tables';
END
$$;
