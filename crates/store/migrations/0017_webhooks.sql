-- Webhooks: endpoints, what waits to be delivered to them, what was given up, and a log of attempts.

CREATE TABLE tenantry.webhook_endpoint (
    env text NOT NULL,
    id uuid NOT NULL,
    -- The tenant, or nil for the environment itself.
    subject uuid NOT NULL,
    -- Where it is. Without user and password; what proves a delivery is its signature.
    target text NOT NULL,
    description text,
    -- `tenant.created`, `tenant.*`; empty for all.
    types text[] NOT NULL,
    -- Only events of these tenants; NULL for all.
    only_tenants uuid[],
    is_fifo boolean NOT NULL,
    rate integer,
    concurrency smallint NOT NULL,
    -- Where the receiver is, as its owner says.
    region text,
    scheme text NOT NULL CONSTRAINT webhook_endpoint_scheme CHECK (scheme IN ('hmac', 'ed25519')),
    -- Version of its payloads.
    payload smallint NOT NULL,
    -- What its newest key is made of, together with a key that is nowhere in this database; that of the key before.
    nonce bytea NOT NULL CONSTRAINT webhook_endpoint_nonce CHECK (octet_length(nonce) = 32),
    old_nonce bytea CONSTRAINT webhook_endpoint_old_nonce CHECK (octet_length(old_nonce) = 32),
    old_until timestamptz,
    is_listening boolean NOT NULL,
    disabled_at timestamptz,
    disabled_why text,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    updated_at timestamptz NOT NULL,
    rotated_at timestamptz,
    CONSTRAINT webhook_endpoint_pkey PRIMARY KEY (env, id),
    CONSTRAINT webhook_endpoint_of_all CHECK (only_tenants IS NULL OR subject = '00000000-0000-0000-0000-000000000000'),
    CONSTRAINT webhook_endpoint_old CHECK ((old_nonce IS NULL) = (old_until IS NULL)),
    CONSTRAINT webhook_endpoint_disabled CHECK (is_listening = (disabled_at IS NULL) AND is_listening = (disabled_why IS NULL))
) WITH (fillfactor = 80);
-- Every commit with events looks for those who want them.
CREATE INDEX webhook_endpoint_listening ON tenantry.webhook_endpoint (env, subject) WHERE is_listening;
CREATE INDEX webhook_endpoint_of ON tenantry.webhook_endpoint (env, subject, id);

-- Which process sends to an endpoint, and how the endpoint behaved. One process at a time, so that rate, concurrency and order
-- need no agreement between processes.
CREATE TABLE tenantry.webhook_lane (
    env text NOT NULL,
    endpoint uuid NOT NULL,
    owner uuid,
    paused_until timestamptz,
    -- Since when there were nothing but failures, and how many.
    failing_since timestamptz,
    failures integer NOT NULL DEFAULT 0,
    delivered_at timestamptz,
    CONSTRAINT webhook_lane_pkey PRIMARY KEY (env, endpoint),
    CONSTRAINT webhook_lane_endpoint_fkey FOREIGN KEY (env, endpoint) REFERENCES tenantry.webhook_endpoint (env, id)
        ON DELETE CASCADE
) WITH (fillfactor = 50);

-- Processes that send. One that is silent for a while has lost its lanes.
CREATE TABLE tenantry.webhook_pump (
    replica uuid NOT NULL CONSTRAINT webhook_pump_pkey PRIMARY KEY,
    seen_at timestamptz NOT NULL
) WITH (fillfactor = 10);

-- What is to be delivered. A row comes with the commit of its event, by the same statement, and goes with the answer: whoever is
-- not in here, nor among the dead, was delivered. No foreign key, for each commit would lock the endpoints' rows.
CREATE TABLE tenantry.webhook_queue (
    env text NOT NULL,
    endpoint uuid NOT NULL,
    subject uuid NOT NULL,
    sequence bigint NOT NULL,
    -- Attempts made.
    attempts smallint NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL,
    queued_at timestamptz NOT NULL,
    is_replay boolean NOT NULL DEFAULT false,
    CONSTRAINT webhook_queue_pkey PRIMARY KEY (env, endpoint, subject, sequence)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX webhook_queue_due ON tenantry.webhook_queue (env, endpoint, due_at);

-- What was given up. It can be sent again.
CREATE TABLE tenantry.webhook_dead (
    env text NOT NULL,
    endpoint uuid NOT NULL,
    subject uuid NOT NULL,
    sequence bigint NOT NULL,
    attempts smallint NOT NULL,
    cause text NOT NULL,
    -- Of the last attempt; absent where none was made, or nobody answered.
    status smallint,
    fault text,
    answer text,
    queued_at timestamptz NOT NULL,
    died_at timestamptz NOT NULL,
    CONSTRAINT webhook_dead_pkey PRIMARY KEY (env, endpoint, subject, sequence)
);
CREATE INDEX webhook_dead_at ON tenantry.webhook_dead (env, endpoint, died_at, subject, sequence);
-- For what is forgotten by its age.
CREATE INDEX webhook_dead_died ON tenantry.webhook_dead (died_at);

-- The newest attempts of each endpoint.
CREATE TABLE tenantry.webhook_attempt (
    env text NOT NULL,
    endpoint uuid NOT NULL,
    -- Time-ordered.
    id uuid NOT NULL,
    event uuid NOT NULL,
    type text NOT NULL,
    subject uuid NOT NULL,
    -- Absent for a test.
    sequence bigint,
    attempt smallint NOT NULL,
    at timestamptz NOT NULL,
    took_ms integer NOT NULL,
    outcome text NOT NULL,
    status smallint,
    fault text,
    answer text,
    is_replay boolean NOT NULL,
    CONSTRAINT webhook_attempt_pkey PRIMARY KEY (env, endpoint, id)
) WITH (autovacuum_vacuum_cost_delay = 0);
ALTER TABLE tenantry.webhook_attempt ALTER answer SET STATISTICS 0;
CREATE INDEX webhook_attempt_at ON tenantry.webhook_attempt (at);

-- Replays that were asked for, as far as they are. Rows are put into the queue little by little.
CREATE TABLE tenantry.webhook_replay (
    env text NOT NULL,
    endpoint uuid NOT NULL,
    id uuid NOT NULL,
    types text[] NOT NULL,
    -- Only events of this tenant (nil: of the environment itself); NULL for all that the endpoint hears.
    only_subject uuid,
    since timestamptz,
    until timestamptz NOT NULL,
    -- The last event that was looked at.
    at_subject uuid NOT NULL,
    at_sequence bigint NOT NULL,
    queued bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    ended_at timestamptz,
    CONSTRAINT webhook_replay_pkey PRIMARY KEY (env, endpoint, id),
    CONSTRAINT webhook_replay_endpoint_fkey FOREIGN KEY (env, endpoint) REFERENCES tenantry.webhook_endpoint (env, id)
        ON DELETE CASCADE
);
CREATE INDEX webhook_replay_open ON tenantry.webhook_replay (env, endpoint) WHERE ended_at IS NULL;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tenantry_serve') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON tenantry.webhook_endpoint, tenantry.webhook_lane, tenantry.webhook_pump,
            tenantry.webhook_queue, tenantry.webhook_dead, tenantry.webhook_attempt, tenantry.webhook_replay TO tenantry_serve;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'rights were not granted: the migrating role does not own the tables';
END
$$;
