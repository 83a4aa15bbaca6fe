-- Logins of the gateway, and what a gateway may read: who may log in, where tenants are, what has changed.

CREATE TABLE tenantry.gateway_login (
    env text NOT NULL,
    name text NOT NULL,
    -- Either a tenant's own, or a service's of an app.
    tenant uuid,
    app text,
    -- The tenants that a service may enter; absent for all of the app.
    allowed uuid[],
    mode text NOT NULL CONSTRAINT gateway_login_mode CHECK (mode IN ('transaction', 'session')),
    access text NOT NULL CONSTRAINT gateway_login_access CHECK (access IN ('read-write', 'read-only')),
    proof text NOT NULL CONSTRAINT gateway_login_proof CHECK (proof IN ('password', 'token')),
    -- SCRAM-SHA-256$…, from which nobody gets the password back; absent for tokens and once the login is revoked.
    verifier text CONSTRAINT gateway_login_verifier_form CHECK (verifier LIKE 'SCRAM-SHA-256$%'),
    -- That of the password before, good until then.
    old_verifier text CONSTRAINT gateway_login_old_verifier_form CHECK (old_verifier LIKE 'SCRAM-SHA-256$%'),
    old_until timestamptz,
    -- The most clients of it on one gateway.
    clients integer CONSTRAINT gateway_login_clients CHECK (clients >= 1),
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    updated_at timestamptz NOT NULL,
    rotated_at timestamptz,
    expires_at timestamptz,
    revoked_at timestamptz,
    CONSTRAINT gateway_login_pkey PRIMARY KEY (env, name),
    CONSTRAINT gateway_login_tenant_fkey FOREIGN KEY (env, tenant) REFERENCES tenantry.tenant (env, id),
    CONSTRAINT gateway_login_whose CHECK ((tenant IS NULL) <> (app IS NULL) AND (app IS NOT NULL OR allowed IS NULL)),
    CONSTRAINT gateway_login_secret CHECK ((verifier IS NOT NULL) = (proof = 'password' AND revoked_at IS NULL)),
    CONSTRAINT gateway_login_old CHECK ((old_verifier IS NULL) = (old_until IS NULL) AND (old_verifier IS NULL OR verifier IS NOT NULL))
) WITH (fillfactor = 70);
-- Clients name no environment, so a name in use is one login in the whole installation.
CREATE UNIQUE INDEX gateway_login_name_key ON tenantry.gateway_login (name) WHERE revoked_at IS NULL;
CREATE INDEX gateway_login_tenant ON tenantry.gateway_login (env, tenant) WHERE tenant IS NOT NULL;

-- What a gateway knows of tenants: nothing of contacts, settings and history. Aliases that are somebody's slug are left
-- out, since a name must lead to one tenant.
CREATE VIEW tenantry.gateway_route AS
SELECT t.env, t.id, t.slug, t.app, t.phase, t.cell, t.isolation, t.placement_generation,
    ARRAY(
        SELECT a.alias FROM tenantry.tenant_alias AS a
        WHERE a.env = t.env AND a.tenant = t.id AND NOT EXISTS (
            SELECT FROM tenantry.tenant AS s WHERE s.env = a.env AND s.slug = a.alias AND s.phase <> 'deleted'
        ) ORDER BY a.alias
    ) AS aliases,
    p.spec -> 'quotas' -> 'connections' AS quota,
    t.spec -> 'overrides' -> 'quotas' -> 'connections' AS deviation
FROM tenantry.tenant AS t
LEFT JOIN tenantry.catalog AS p ON p.env = t.env AND p.kind = 'plan' AND p.name = t.plan
WHERE t.phase <> 'deleted';

-- Where the address of each cell is found; the address itself is nowhere in this database.
CREATE VIEW tenantry.gateway_cell AS
SELECT env, name, spec -> 'database' AS place FROM tenantry.catalog WHERE kind = 'cell';

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tenantry_serve') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON tenantry.gateway_login TO tenantry_serve;
        GRANT SELECT ON tenantry.gateway_route, tenantry.gateway_cell TO tenantry_serve;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tenantry_gateway') THEN
        BEGIN
            CREATE ROLE tenantry_gateway NOLOGIN;
        EXCEPTION
            -- Roles belong to the server: another installation may have been faster.
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE NOTICE 'role tenantry_gateway was not created: the migrating role may not create roles';
                RETURN;
        END;
    END IF;
    GRANT USAGE ON SCHEMA tenantry TO tenantry_gateway;
    GRANT SELECT ON tenantry.installation, tenantry.gateway_route, tenantry.gateway_cell TO tenantry_gateway;
    GRANT SELECT (name) ON tenantry.environment TO tenantry_gateway;
    GRANT SELECT (env, name, tenant, app, allowed, mode, access, proof, verifier, old_verifier, old_until, clients, version,
        expires_at, revoked_at) ON tenantry.gateway_login TO tenantry_gateway;
    -- That something of a tenant changed, not what.
    GRANT SELECT (env, subject, seq, at, action, category) ON tenantry.audit TO tenantry_gateway;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'rights were not granted: the migrating role does not own the tables';
END
$$;
