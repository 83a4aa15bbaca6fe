-- Rollouts: one version of an app on its way to its targets.

CREATE TABLE tenantry.rollout (
    env text NOT NULL,
    id uuid NOT NULL,
    app text NOT NULL,
    -- The version that whoever is not released yet stays at, unless it has another one already.
    base_version bigint NOT NULL,
    version bigint NOT NULL,
    strategy jsonb NOT NULL,
    status text NOT NULL CHECK (status IN
        ('planning', 'running', 'waiting', 'paused', 'halted', 'completed', 'superseded', 'cancelled')),
    -- Why it stands still, for people.
    reason text,
    wave integer NOT NULL DEFAULT 0,
    waves integer NOT NULL DEFAULT 0,
    wave_ended_at timestamptz,
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    correlation_id text NOT NULL,
    ended_at timestamptz,
    -- The process that moves it. What it does may be done twice; the lease only saves work.
    owner uuid,
    lease_until timestamptz,
    CONSTRAINT rollout_pkey PRIMARY KEY (env, id),
    CONSTRAINT rollout_ended CHECK ((ended_at IS NOT NULL) = (status IN ('completed', 'superseded', 'cancelled')))
) WITH (fillfactor = 70);
-- One at a time for each app: a newer one supersedes it. One that was given up still holds: who has not the version does
-- not get it.
CREATE UNIQUE INDEX rollout_open_key ON tenantry.rollout (env, app)
    WHERE status IN ('planning', 'running', 'waiting', 'paused', 'halted', 'cancelled');
CREATE INDEX rollout_app ON tenantry.rollout (env, app, created_at DESC);

CREATE TABLE tenantry.rollout_target (
    env text NOT NULL,
    rollout uuid NOT NULL,
    cell text NOT NULL,
    -- All zeros for what the tenants of the cell share.
    tenant uuid NOT NULL,
    wave integer NOT NULL,
    status text NOT NULL CHECK (status IN ('waiting', 'running', 'done', 'current', 'failed', 'skipped')),
    from_version bigint NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    cause jsonb,
    -- Shared tables are not tried again before.
    wake_at timestamptz,
    started_at timestamptz,
    ended_at timestamptz,
    CONSTRAINT rollout_target_pkey PRIMARY KEY (env, rollout, cell, tenant),
    CONSTRAINT rollout_target_rollout_fkey FOREIGN KEY (env, rollout) REFERENCES tenantry.rollout (env, id)
) WITH (fillfactor = 70);
CREATE INDEX rollout_target_status ON tenantry.rollout_target (env, rollout, status, wave);
CREATE INDEX rollout_target_at_work ON tenantry.rollout_target (env, tenant) WHERE status = 'running';

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tenantry_serve') THEN
        GRANT SELECT, INSERT, UPDATE ON tenantry.rollout, tenantry.rollout_target TO tenantry_serve;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'rights of role tenantry_serve were not granted: the migrating role does not own the tables';
END
$$;
