-- Words of people that somebody else may do one thing, once. A rule asks for them.

CREATE TABLE tenantry.approval (
    env text NOT NULL,
    id uuid NOT NULL,
    action text NOT NULL,
    -- Absent for what is done to the environment.
    tenant uuid,
    -- The tenant as the approver saw it: what was changed since was not approved.
    tenant_version bigint,
    -- Who may use it, by kind and id of the principal.
    holder text NOT NULL,
    given_by text NOT NULL,
    person text NOT NULL,
    reason text NOT NULL CHECK (length(reason) BETWEEN 10 AND 1000),
    given_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    withdrawn_at timestamptz,
    CONSTRAINT approval_pkey PRIMARY KEY (env, id),
    CHECK ((tenant IS NULL) = (tenant_version IS NULL))
);
CREATE INDEX approval_open ON tenantry.approval (env, holder, action) WHERE used_at IS NULL AND withdrawn_at IS NULL;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tenantry_serve') THEN
        GRANT SELECT, INSERT, UPDATE ON tenantry.approval TO tenantry_serve;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'rights were not granted: the migrating role does not own the tables';
END
$$;
