-- Workflows with their journals, operations, kept answers, tokens, replicas.

-- Every claim takes a number from here, so that a newer owner always has the higher one, whatever its clock says.
CREATE SEQUENCE tenantry.fence_seq AS bigint;

CREATE TABLE tenantry.workflow (
    env text NOT NULL,
    id uuid NOT NULL,
    tenant uuid NOT NULL,
    kind text NOT NULL,
    definition_version integer NOT NULL,
    target_version bigint NOT NULL,
    status text NOT NULL CHECK (status IN ('running', 'completed', 'unwound', 'stuck')),
    owner uuid,
    lease_until timestamptz,
    fence bigint NOT NULL DEFAULT 0,
    wake_at timestamptz NOT NULL,
    cancel_requested boolean NOT NULL DEFAULT false,
    input jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    ended_at timestamptz,
    cause jsonb,
    journal_seq bigint NOT NULL DEFAULT 0,
    current_step text,
    attempt bigint NOT NULL DEFAULT 0,
    steps_done bigint NOT NULL DEFAULT 0,
    last_failure jsonb,
    CONSTRAINT workflow_pkey PRIMARY KEY (id),
    CONSTRAINT workflow_tenant_fkey FOREIGN KEY (env, tenant) REFERENCES tenantry.tenant (env, id),
    CONSTRAINT workflow_ended CHECK ((ended_at IS NULL) = (status IN ('running', 'stuck')))
) WITH (fillfactor = 60);
CREATE UNIQUE INDEX workflow_open_key ON tenantry.workflow (env, tenant) WHERE status IN ('running', 'stuck');
CREATE INDEX workflow_wake ON tenantry.workflow (wake_at) WHERE status = 'running';
CREATE INDEX workflow_tenant ON tenantry.workflow (env, tenant, created_at);
CREATE INDEX workflow_status ON tenantry.workflow (env, status, created_at);
CREATE INDEX workflow_owner ON tenantry.workflow (owner) WHERE status = 'running';

CREATE TABLE tenantry.journal (
    env text NOT NULL,
    workflow uuid NOT NULL,
    seq bigint NOT NULL,
    at timestamptz NOT NULL,
    fact jsonb NOT NULL,
    fence bigint NOT NULL,
    CONSTRAINT journal_pkey PRIMARY KEY (workflow, seq)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON tenantry.journal
    FOR EACH STATEMENT EXECUTE FUNCTION tenantry.refuse_change();

CREATE TABLE tenantry.operation (
    env text NOT NULL,
    id uuid NOT NULL,
    kind text NOT NULL,
    requested_by text NOT NULL,
    correlation_id text NOT NULL,
    created_at timestamptz NOT NULL,
    request jsonb NOT NULL,
    CONSTRAINT operation_pkey PRIMARY KEY (env, id)
);

CREATE TABLE tenantry.operation_target (
    env text NOT NULL,
    operation uuid NOT NULL,
    tenant uuid NOT NULL,
    version bigint NOT NULL,
    CONSTRAINT operation_target_pkey PRIMARY KEY (env, operation, tenant)
);
CREATE INDEX operation_target_tenant ON tenantry.operation_target (env, tenant, operation);

CREATE TABLE tenantry.idempotency (
    env text NOT NULL,
    principal text NOT NULL,
    route text NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    status integer NOT NULL,
    headers jsonb NOT NULL,
    body bytea NOT NULL,
    operation uuid,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT idempotency_pkey PRIMARY KEY (env, principal, route, key)
);
CREATE INDEX idempotency_expiry ON tenantry.idempotency (expires_at);

CREATE TABLE tenantry.token (
    id uuid NOT NULL,
    -- The only environment that the token reaches; absent for all.
    env text,
    name text NOT NULL,
    actor_kind text NOT NULL,
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz,
    CONSTRAINT token_pkey PRIMARY KEY (id)
);

CREATE TABLE tenantry.replica (
    id uuid NOT NULL,
    started_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    version text NOT NULL,
    CONSTRAINT replica_pkey PRIMARY KEY (id)
);
