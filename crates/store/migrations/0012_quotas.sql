-- What tenants use of their quotas, and what is reserved.

CREATE TABLE tenantry.quota (
    env text NOT NULL,
    tenant uuid NOT NULL,
    name text NOT NULL,
    used bigint NOT NULL CONSTRAINT quota_used CHECK (used >= 0),
    -- Of reservations, those included that have expired and were not met yet.
    reserved bigint NOT NULL CONSTRAINT quota_reserved CHECK (reserved >= 0),
    -- When the period began that `used` belongs to; absent for a standing amount.
    since timestamptz,
    -- The limit and how strictly it held when it was last judged; absent for none.
    bound bigint CONSTRAINT quota_bound CHECK (bound >= 0),
    mode text NOT NULL CONSTRAINT quota_mode CHECK (mode IN ('off', 'observed', 'soft', 'hard')),
    -- What has been told, so that it is told once.
    warned boolean NOT NULL DEFAULT false,
    exceeded boolean NOT NULL DEFAULT false,
    updated_at timestamptz NOT NULL,
    CONSTRAINT quota_pkey PRIMARY KEY (env, tenant, name),
    CONSTRAINT quota_tenant_fkey FOREIGN KEY (env, tenant) REFERENCES tenantry.tenant (env, id)
) WITH (fillfactor = 50);

CREATE TABLE tenantry.quota_reservation (
    env text NOT NULL,
    id uuid NOT NULL,
    tenant uuid NOT NULL,
    name text NOT NULL,
    amount bigint NOT NULL CONSTRAINT quota_reservation_amount CHECK (amount > 0),
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT quota_reservation_pkey PRIMARY KEY (env, id),
    CONSTRAINT quota_reservation_quota_fkey FOREIGN KEY (env, tenant, name) REFERENCES tenantry.quota (env, tenant, name)
);
CREATE INDEX quota_reservation_of ON tenantry.quota_reservation (env, tenant, name, expires_at);
CREATE INDEX quota_reservation_expiry ON tenantry.quota_reservation (expires_at);

-- A quota of a plan may have parts since this version; for gateways only a hard limit is one.
CREATE OR REPLACE VIEW tenantry.gateway_route AS
SELECT t.env, t.id, t.slug, t.app, t.phase, t.cell, t.isolation, t.placement_generation,
    ARRAY(
        SELECT a.alias FROM tenantry.tenant_alias AS a
        WHERE a.env = t.env AND a.tenant = t.id AND NOT EXISTS (
            SELECT FROM tenantry.tenant AS s WHERE s.env = a.env AND s.slug = a.alias AND s.phase <> 'deleted'
        ) ORDER BY a.alias
    ) AS aliases,
    CASE WHEN jsonb_typeof(p.spec -> 'quotas' -> 'connections') <> 'object' THEN p.spec -> 'quotas' -> 'connections'
        WHEN coalesce(p.spec -> 'quotas' -> 'connections' ->> 'mode', 'hard') = 'hard'
        THEN p.spec -> 'quotas' -> 'connections' -> 'limit' END AS quota,
    CASE WHEN coalesce(p.spec -> 'quotas' -> 'connections' ->> 'mode', 'hard') = 'hard'
        THEN t.spec -> 'overrides' -> 'quotas' -> 'connections' END AS deviation,
    p.spec -> 'rateLimits' -> 'transactions' AS rate,
    t.spec -> 'overrides' -> 'rateLimits' -> 'transactions' AS rate_deviation,
    CASE WHEN jsonb_typeof(p.spec -> 'quotas' -> 'statementSeconds') <> 'object'
        THEN p.spec -> 'quotas' -> 'statementSeconds'
        WHEN coalesce(p.spec -> 'quotas' -> 'statementSeconds' ->> 'mode', 'hard') = 'hard'
        THEN p.spec -> 'quotas' -> 'statementSeconds' -> 'limit' END AS statement,
    CASE WHEN coalesce(p.spec -> 'quotas' -> 'statementSeconds' ->> 'mode', 'hard') = 'hard'
        THEN t.spec -> 'overrides' -> 'quotas' -> 'statementSeconds' END AS statement_deviation
FROM tenantry.tenant AS t
LEFT JOIN tenantry.catalog AS p ON p.env = t.env AND p.kind = 'plan' AND p.name = t.plan
WHERE t.phase <> 'deleted';

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tenantry_serve') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON tenantry.quota, tenantry.quota_reservation TO tenantry_serve;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'rights of role tenantry_serve were not granted: the migrating role does not own the tables';
END
$$;
