-- Tenants' own pools of users at an identity provider, and invitations to an account that is made beforehand.

CREATE TABLE tenantry.identity_pool (
    env text NOT NULL,
    tenant uuid NOT NULL,
    -- The provider and its project, as tokens of the pool name them in `iss`. Ids of pools are unique inside of one.
    issuer text NOT NULL,
    -- What the provider calls the pool; absent before it said so.
    pool text,
    standing text NOT NULL CONSTRAINT identity_pool_standing CHECK (standing IN ('wanted', 'enabled', 'disabled', 'deleted')),
    since timestamptz NOT NULL,
    -- Of the tenant when the pool was looked at last: another one makes a look due at once.
    seen_phase text,
    seen_version bigint,
    -- Failures in a row, and the word for the last one.
    failures integer NOT NULL DEFAULT 0 CONSTRAINT identity_pool_failures CHECK (failures >= 0),
    problem text,
    looked_at timestamptz,
    next_look_at timestamptz NOT NULL,
    -- Until when one replica alone works at it. What it finds is written only while this stands.
    leased_until timestamptz,
    CONSTRAINT identity_pool_pkey PRIMARY KEY (env, tenant),
    CONSTRAINT identity_pool_tenant_fkey FOREIGN KEY (env, tenant) REFERENCES tenantry.tenant (env, id),
    CONSTRAINT identity_pool_known CHECK (pool IS NOT NULL OR standing IN ('wanted', 'deleted'))
) WITH (fillfactor = 70);
-- A token names a pool, and the pool one tenant.
CREATE UNIQUE INDEX identity_pool_key ON tenantry.identity_pool (issuer, pool) WHERE pool IS NOT NULL;
CREATE INDEX identity_pool_living ON tenantry.identity_pool (next_look_at) WHERE standing <> 'deleted';
-- Tenants without one.
CREATE INDEX tenant_active_plan ON tenantry.tenant (env, plan, id) WHERE phase = 'active';

-- Whether the person gets an account at the identity provider beforehand, and sets a password by a link in the mail.
ALTER TABLE tenantry.invitation ADD COLUMN with_account boolean NOT NULL DEFAULT false;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tenantry_serve') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON tenantry.identity_pool TO tenantry_serve;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'rights were not granted: the migrating role does not own the tables';
END
$$;
