-- What a process asks before it works on this database.

-- The print of the root key: derived from it and from the installation's id, tells nothing about it. NULL until the first
-- process of this release has started.
ALTER TABLE tenantry.installation ADD COLUMN root_print bytea CHECK (octet_length(root_print) = 32);
-- A release may work here when the newest migration that it knows is at least this one. A migration that takes away what
-- older releases need raises it to its own version.
ALTER TABLE tenantry.installation ADD COLUMN least_version bigint NOT NULL DEFAULT 0;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tenantry_serve') THEN
        GRANT UPDATE (root_print) ON tenantry.installation TO tenantry_serve;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'rights of role tenantry_serve were not granted: the migrating role does not own the tables';
END
$$;
