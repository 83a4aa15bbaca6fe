-- Who may do what in the control plane: roles and scopes of tokens, and grants of emergency access.

-- Tokens of earlier releases could do everything, and still can.
ALTER TABLE tenantry.token
    ADD COLUMN roles text[] NOT NULL DEFAULT '{admin}',
    -- Only these actions; absent for all that the roles allow.
    ADD COLUMN scopes text[],
    -- Only this tenant; absent for all of the environment.
    ADD COLUMN tenant uuid,
    -- Whose it is, for rules that ask for two people.
    ADD COLUMN person text,
    ADD COLUMN created_by text NOT NULL DEFAULT 'unknown',
    ADD COLUMN version bigint NOT NULL DEFAULT 1,
    ADD COLUMN rotated_at timestamptz,
    -- The secret before the last rotation, and until when it is good.
    ADD COLUMN old_hash bytea CHECK (octet_length(old_hash) = 32),
    ADD COLUMN old_until timestamptz;
ALTER TABLE tenantry.token ALTER COLUMN roles DROP DEFAULT, ALTER COLUMN created_by DROP DEFAULT;
CREATE INDEX token_env ON tenantry.token (env, id);
CREATE INDEX token_tenant ON tenantry.token (env, tenant, id) WHERE tenant IS NOT NULL;

-- Emergency access to one tenant's data: asked for by one person, granted by another, over by itself.
CREATE TABLE tenantry.access_grant (
    env text NOT NULL,
    id uuid NOT NULL,
    tenant uuid NOT NULL,
    -- Actor and person who asked.
    requested_by text NOT NULL,
    person text NOT NULL,
    reason text NOT NULL,
    ticket text,
    access text NOT NULL CHECK (access IN ('read-only', 'read-write')),
    minutes integer NOT NULL CHECK (minutes BETWEEN 1 AND 60),
    requested_at timestamptz NOT NULL,
    -- Nobody approves it later than that.
    lapses_at timestamptz NOT NULL,
    approved_by text,
    approver text,
    approved_at timestamptz,
    refused_at timestamptz,
    -- From when on it is over; the gateway's login ends at the same moment.
    ends_at timestamptz,
    ended_at timestamptz,
    ended_by text,
    login text,
    reviewed_by text,
    reviewed_at timestamptz,
    review text,
    CONSTRAINT access_grant_pkey PRIMARY KEY (env, id),
    CONSTRAINT access_grant_tenant_fkey FOREIGN KEY (env, tenant) REFERENCES tenantry.tenant (env, id),
    CONSTRAINT access_grant_two_people CHECK (approver IS NULL OR approver <> person)
);
CREATE INDEX access_grant_tenant ON tenantry.access_grant (env, tenant, id);
CREATE INDEX access_grant_person ON tenantry.access_grant (env, person, approved_at) WHERE approved_at IS NOT NULL;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tenantry_serve') THEN
        GRANT SELECT, INSERT, UPDATE ON tenantry.access_grant TO tenantry_serve;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'rights of role tenantry_serve were not granted: the migrating role does not own the tables';
END
$$;
