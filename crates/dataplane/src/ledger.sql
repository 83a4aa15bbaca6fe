-- What the data plane remembers in each database that it manages. Nobody but the administrative login reads it.
REVOKE ALL ON SCHEMA ledger FROM PUBLIC;

-- The files of an app that ran in a place. A place is named by its schema.
CREATE TABLE ledger.applied (
    place text NOT NULL,
    name text NOT NULL,
    checksum bytea NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (place, name)
);

-- The structures that places were left with, each stored once.
CREATE TABLE ledger.shape (
    fingerprint text PRIMARY KEY,
    lines text[] NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now()
);

-- Places that were migrated to the end, and how they looked then.
CREATE TABLE ledger.place (
    place text PRIMARY KEY,
    version bigint NOT NULL,
    fingerprint text NOT NULL REFERENCES ledger.shape,
    protected_at timestamptz NOT NULL DEFAULT now()
);

-- What the registry does not say about a tenant: its level, and whether its users were ever let in.
CREATE TABLE ledger.space (
    tenant_id uuid PRIMARY KEY,
    isolation text NOT NULL,
    opened_at timestamptz
);

-- Schemas and databases that wait for a tenant, and the database that new ones are copied from.
CREATE TABLE ledger.premade (
    name text PRIMARY KEY,
    isolation text NOT NULL,
    version bigint NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE ledger.template (
    name text PRIMARY KEY,
    version bigint NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now()
);

-- The newest claim on tenants that are gone, under a hash of their id, so that a late step of an old claim cannot
-- bring one back. Kept for some days.
CREATE TABLE ledger.tombstone (
    tenant bytea PRIMARY KEY,
    fence bigint NOT NULL,
    erased_at timestamptz NOT NULL DEFAULT now()
);
