-- The registry: environments, tenants with their history, the catalog, and places of the cells.
--
-- Three rules shape these tables. A row that is written with every change (tenant, environment) has no index on a
-- column that every change touches, so that PostgreSQL can update it in place (HOT). The tables of every change have
-- no check constraints and no computed columns, which the server would parse anew in every statement; the store's
-- types and tests keep what they would. And a table that is evidence (…_version, audit, outbox, journal) is
-- append-only: rights say so, and a trigger says so to everybody else.

-- Stops a statement, and with it the transaction, when what it was sure of does not hold.
CREATE FUNCTION tenantry.require(holds boolean, code text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF holds IS NOT TRUE THEN
        RAISE EXCEPTION 'a requirement of the statement does not hold' USING ERRCODE = code;
    END IF;
END
$$;

CREATE FUNCTION tenantry.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'table % is append-only', TG_TABLE_NAME USING ERRCODE = 'TN101';
END
$$;

CREATE TABLE tenantry.installation (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    id uuid NOT NULL,
    created_at timestamptz NOT NULL
);
INSERT INTO tenantry.installation (id, created_at) VALUES (gen_random_uuid(), now());

CREATE TABLE tenantry.environment (
    name text PRIMARY KEY,
    created_at timestamptz NOT NULL,
    audit_seq bigint NOT NULL DEFAULT 0,
    audit_head bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex'),
    event_seq bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
INSERT INTO tenantry.environment (name, created_at) VALUES ('prod', now());

CREATE TABLE tenantry.tenant (
    env text NOT NULL,
    id uuid NOT NULL,
    slug text NOT NULL,
    slug_skeleton text NOT NULL,
    display_name text NOT NULL,
    -- The words of slug and display name, each behind a space; as rows in tenant_word.
    words text NOT NULL,
    app text NOT NULL,
    plan text NOT NULL,
    region text,
    cell text,
    isolation text,
    placement_generation bigint NOT NULL DEFAULT 0,
    version bigint NOT NULL,
    observed_version bigint NOT NULL,
    app_version bigint NOT NULL DEFAULT 0,
    requested text NOT NULL,
    phase text NOT NULL,
    state jsonb NOT NULL,
    spec jsonb NOT NULL,
    conditions jsonb NOT NULL DEFAULT '[]',
    failed_version bigint,
    failure jsonb,
    findings jsonb NOT NULL DEFAULT '[]',
    repairable integer NOT NULL DEFAULT 0,
    weight integer NOT NULL,
    delete_not_before timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    activated_at timestamptz,
    suspended_at timestamptz,
    archived_at timestamptz,
    deleted_at timestamptz,
    purge_after timestamptz,
    created_by text NOT NULL,
    audit_seq bigint NOT NULL DEFAULT 0,
    audit_head bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex'),
    event_seq bigint NOT NULL DEFAULT 0,
    -- The row itself says that something may have to be done; written with every change of the row.
    is_unsettled boolean NOT NULL,
    CONSTRAINT tenant_pkey PRIMARY KEY (env, id)
) WITH (fillfactor = 70);
-- Nobody searches in documents; gathering statistics of them is work for nothing.
ALTER TABLE tenantry.tenant ALTER state SET STATISTICS 0, ALTER spec SET STATISTICS 0,
    ALTER conditions SET STATISTICS 0, ALTER failure SET STATISTICS 0, ALTER findings SET STATISTICS 0,
    ALTER audit_head SET STATISTICS 0;
CREATE UNIQUE INDEX tenant_slug_key ON tenantry.tenant (env, slug) WHERE phase <> 'deleted';
CREATE UNIQUE INDEX tenant_slug_skeleton_key ON tenantry.tenant (env, slug_skeleton) WHERE phase <> 'deleted';
CREATE INDEX tenant_living ON tenantry.tenant (env, id) WHERE phase <> 'deleted';
CREATE INDEX tenant_plan ON tenantry.tenant (env, plan, id);
CREATE INDEX tenant_app ON tenantry.tenant (env, app, id);
CREATE INDEX tenant_phase ON tenantry.tenant (env, phase, id);
CREATE INDEX tenant_region ON tenantry.tenant (env, region, id) WHERE region IS NOT NULL;
CREATE INDEX tenant_cell ON tenantry.tenant (env, cell, id) WHERE cell IS NOT NULL;
CREATE INDEX tenant_isolation ON tenantry.tenant (env, isolation, id) WHERE isolation IS NOT NULL;
CREATE INDEX tenant_unsettled ON tenantry.tenant (env, id) WHERE is_unsettled;
CREATE INDEX tenant_app_version ON tenantry.tenant (env, app, app_version) WHERE phase IN ('active', 'suspended');

CREATE TABLE tenantry.tenant_version (
    env text NOT NULL,
    tenant uuid NOT NULL,
    version bigint NOT NULL,
    slug text NOT NULL,
    spec jsonb NOT NULL,
    author text NOT NULL,
    action text NOT NULL,
    at timestamptz NOT NULL,
    correlation_id text NOT NULL,
    CONSTRAINT tenant_version_pkey PRIMARY KEY (env, tenant, version)
);
ALTER TABLE tenantry.tenant_version ALTER spec SET STATISTICS 0;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON tenantry.tenant_version
    FOR EACH STATEMENT EXECUTE FUNCTION tenantry.refuse_change();

CREATE TABLE tenantry.slug_quarantine (
    env text NOT NULL,
    slug_skeleton text NOT NULL,
    slug text NOT NULL,
    tenant uuid NOT NULL,
    until timestamptz NOT NULL,
    CONSTRAINT slug_quarantine_pkey PRIMARY KEY (env, slug_skeleton)
);

CREATE TABLE tenantry.tenant_external_id (
    env text NOT NULL,
    system text NOT NULL,
    external_id text NOT NULL,
    tenant uuid NOT NULL,
    CONSTRAINT tenant_external_id_pkey PRIMARY KEY (env, system, external_id),
    CONSTRAINT tenant_external_id_tenant_fkey FOREIGN KEY (env, tenant) REFERENCES tenantry.tenant (env, id)
);
CREATE INDEX tenant_external_id_tenant ON tenantry.tenant_external_id (env, tenant);

CREATE TABLE tenantry.tenant_alias (
    env text NOT NULL,
    alias text NOT NULL,
    tenant uuid NOT NULL,
    CONSTRAINT tenant_alias_pkey PRIMARY KEY (env, alias),
    CONSTRAINT tenant_alias_tenant_fkey FOREIGN KEY (env, tenant) REFERENCES tenantry.tenant (env, id)
);
CREATE INDEX tenant_alias_tenant ON tenantry.tenant_alias (env, tenant);

CREATE TABLE tenantry.tenant_label (
    env text NOT NULL,
    tenant uuid NOT NULL,
    key text NOT NULL,
    value text NOT NULL,
    CONSTRAINT tenant_label_pkey PRIMARY KEY (env, tenant, key),
    CONSTRAINT tenant_label_tenant_fkey FOREIGN KEY (env, tenant) REFERENCES tenantry.tenant (env, id)
);
CREATE INDEX tenant_label_value ON tenantry.tenant_label (env, key, value, tenant);
CREATE INDEX tenant_label_key ON tenantry.tenant_label (env, key, tenant);

-- For searches by the beginning of a word. Bytewise order, so that a beginning is a range. Derived from the tenant's
-- row and written with it.
CREATE TABLE tenantry.tenant_word (
    env text NOT NULL,
    word text COLLATE "C" NOT NULL,
    tenant uuid NOT NULL,
    CONSTRAINT tenant_word_pkey PRIMARY KEY (env, word, tenant)
);

CREATE TABLE tenantry.catalog (
    env text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('plan', 'region', 'cell', 'app')),
    name text NOT NULL,
    id uuid NOT NULL,
    version bigint NOT NULL CHECK (version >= 1),
    spec jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT catalog_pkey PRIMARY KEY (env, kind, name)
);

CREATE TABLE tenantry.catalog_version (
    env text NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    version bigint NOT NULL,
    id uuid NOT NULL,
    -- Absent for the version that removed the document.
    spec jsonb,
    author text NOT NULL,
    action text NOT NULL,
    at timestamptz NOT NULL,
    correlation_id text NOT NULL,
    CONSTRAINT catalog_version_pkey PRIMARY KEY (env, kind, name, version)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON tenantry.catalog_version
    FOR EACH STATEMENT EXECUTE FUNCTION tenantry.refuse_change();

CREATE TABLE tenantry.cell_load (
    env text NOT NULL,
    cell text NOT NULL,
    isolation text NOT NULL CHECK (isolation IN ('shared', 'schema', 'database', 'cluster')),
    used bigint NOT NULL,
    CONSTRAINT cell_load_pkey PRIMARY KEY (env, cell, isolation),
    CONSTRAINT cell_load_used CHECK (used >= 0)
) WITH (fillfactor = 50);
