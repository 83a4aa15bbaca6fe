-- Audit entries and events: numbered per subject by counters in the subject's row, never by a sequence.

-- `entry` is the text that was hashed and the only source of the columns after `hash`, which lists search by; the
-- check of a chain compares them.
CREATE TABLE tenantry.audit (
    env text NOT NULL,
    -- The tenant, or nil for the environment itself.
    subject uuid NOT NULL,
    seq bigint NOT NULL,
    entry text NOT NULL,
    hash bytea NOT NULL,
    at timestamptz NOT NULL,
    action text NOT NULL,
    category text NOT NULL,
    outcome text NOT NULL,
    actor text NOT NULL,
    correlation_id text NOT NULL,
    CONSTRAINT audit_pkey PRIMARY KEY (env, subject, seq)
);
ALTER TABLE tenantry.audit ALTER entry SET STATISTICS 0, ALTER hash SET STATISTICS 0;
CREATE INDEX audit_at ON tenantry.audit (env, at, subject, seq);
CREATE INDEX audit_correlation ON tenantry.audit (env, correlation_id, at);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON tenantry.audit
    FOR EACH STATEMENT EXECUTE FUNCTION tenantry.refuse_change();

CREATE TABLE tenantry.outbox (
    env text NOT NULL,
    -- The tenant, or nil for the environment itself.
    subject uuid NOT NULL,
    sequence bigint NOT NULL,
    id uuid NOT NULL,
    type text NOT NULL,
    at timestamptz NOT NULL,
    version bigint,
    correlation_id text NOT NULL,
    causation_id text NOT NULL,
    data jsonb NOT NULL,
    CONSTRAINT outbox_pkey PRIMARY KEY (env, subject, sequence)
);
ALTER TABLE tenantry.outbox ALTER data SET STATISTICS 0;
CREATE UNIQUE INDEX outbox_id_key ON tenantry.outbox (id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON tenantry.outbox
    FOR EACH STATEMENT EXECUTE FUNCTION tenantry.refuse_change();
