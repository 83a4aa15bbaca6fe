-- What a login role of the control plane may do, as a group role to grant to it. Where the migrating role may not
-- make roles, the installation runs with the rights of the tables' owner, and only the triggers guard the evidence.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tenantry_serve') THEN
        BEGIN
            CREATE ROLE tenantry_serve NOLOGIN;
        EXCEPTION
            -- Roles belong to the server: another installation may have been faster.
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE NOTICE 'role tenantry_serve was not created: the migrating role may not create roles';
                RETURN;
        END;
    END IF;
    GRANT USAGE ON SCHEMA tenantry TO tenantry_serve;
    GRANT SELECT ON ALL TABLES IN SCHEMA tenantry TO tenantry_serve;
    GRANT INSERT ON tenantry.audit, tenantry.outbox, tenantry.journal, tenantry.tenant_version,
        tenantry.catalog_version, tenantry.operation, tenantry.operation_target TO tenantry_serve;
    GRANT INSERT, UPDATE ON tenantry.environment, tenantry.tenant, tenantry.cell_load, tenantry.workflow,
        tenantry.token TO tenantry_serve;
    GRANT INSERT, UPDATE, DELETE ON tenantry.slug_quarantine, tenantry.tenant_external_id, tenantry.tenant_alias,
        tenantry.tenant_label, tenantry.tenant_word, tenantry.catalog, tenantry.idempotency, tenantry.replica TO tenantry_serve;
    GRANT DELETE ON tenantry.operation, tenantry.operation_target TO tenantry_serve;
    GRANT USAGE ON SEQUENCE tenantry.fence_seq TO tenantry_serve;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'rights of role tenantry_serve were not granted: the migrating role does not own the tables';
END
$$;
