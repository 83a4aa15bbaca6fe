-- Gateway logins that are served by a standby of their tenant's cell, and where a gateway finds those.

ALTER TABLE tenantry.gateway_login ADD COLUMN server text NOT NULL DEFAULT 'primary'
    CONSTRAINT gateway_login_server CHECK (server IN ('primary', 'prefer-standby', 'standby')),
    -- A standby takes no writes, and keeps no session for a client.
    ADD CONSTRAINT gateway_login_standby CHECK (server = 'primary' OR (access = 'read-only' AND mode = 'transaction'));

CREATE OR REPLACE VIEW tenantry.gateway_cell AS
SELECT env, name, spec -> 'database' AS place, coalesce(spec -> 'standbys', '[]'::jsonb) AS standbys
FROM tenantry.catalog WHERE kind = 'cell';

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tenantry_gateway') THEN
        GRANT SELECT (server) ON tenantry.gateway_login TO tenantry_gateway;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'rights were not granted: the migrating role does not own the tables';
END
$$;
