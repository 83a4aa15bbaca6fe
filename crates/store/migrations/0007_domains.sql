-- Domains of tenants' own, each with the proof of its ownership.

CREATE TABLE tenantry.domain (
    env text NOT NULL,
    tenant uuid NOT NULL,
    domain text NOT NULL,
    -- What the TXT record has to hold: 244 random bits, made anew when a domain is added again.
    challenge text NOT NULL DEFAULT replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''),
    standing text NOT NULL DEFAULT 'pending'
        CONSTRAINT domain_standing CHECK (standing IN ('pending', 'verified', 'lost')),
    since timestamptz NOT NULL,
    -- Looks in a row that missed the record of a verified domain, and when the first of them was.
    missed integer NOT NULL DEFAULT 0,
    missing_since timestamptz,
    problem text,
    looked_at timestamptz,
    next_look_at timestamptz NOT NULL,
    CONSTRAINT domain_pkey PRIMARY KEY (env, tenant, domain),
    CONSTRAINT domain_tenant_fkey FOREIGN KEY (env, tenant) REFERENCES tenantry.tenant (env, id),
    CONSTRAINT domain_missing CHECK ((missing_since IS NOT NULL) = (missed > 0))
) WITH (fillfactor = 70);
-- Any number of tenants may want a domain, and only one has it.
CREATE UNIQUE INDEX domain_verified_key ON tenantry.domain (env, domain) WHERE standing = 'verified';
CREATE INDEX domain_due ON tenantry.domain (next_look_at);

-- Domains of manifests from before have never been proven.
INSERT INTO tenantry.domain (env, tenant, domain, since, next_look_at)
SELECT t.env, t.id, d.domain, now(), now()
FROM tenantry.tenant AS t, jsonb_array_elements_text(t.spec -> 'domains') AS d (domain)
WHERE t.phase <> 'deleted' ON CONFLICT DO NOTHING;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tenantry_serve') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON tenantry.domain TO tenantry_serve;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'rights of role tenantry_serve were not granted: the migrating role does not own the tables';
END
$$;
