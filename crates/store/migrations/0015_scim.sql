-- A customer's directory: the users and groups that it keeps here by SCIM, and what they mean for members.

-- Whose subjects the directory's external ids are, and what somebody holds whom no group gives a role.
CREATE TABLE tenantry.directory (
    env text NOT NULL,
    tenant uuid NOT NULL,
    -- Absent: people are claimed by a verified address at their first log-in.
    issuer text,
    pool text NOT NULL,
    default_role text NOT NULL CONSTRAINT directory_default CHECK (default_role <> 'owner'),
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT directory_pkey PRIMARY KEY (env, tenant),
    CONSTRAINT directory_tenant_fkey FOREIGN KEY (env, tenant) REFERENCES tenantry.tenant (env, id)
);

CREATE TABLE tenantry.scim_user (
    env text NOT NULL,
    tenant uuid NOT NULL,
    id uuid NOT NULL,
    -- In lower case.
    name_key text NOT NULL,
    external_id text,
    active boolean NOT NULL,
    -- The address of a claim, exact and in lower case.
    email text,
    -- What the directory says, apart from what is not kept.
    doc jsonb NOT NULL,
    -- Who signs in as this user, once that is known: {"issuer", "pool", "subject"}.
    identity jsonb,
    -- The member, also after the membership was taken away.
    user_id uuid,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT scim_user_pkey PRIMARY KEY (env, tenant, id),
    CONSTRAINT scim_user_tenant_fkey FOREIGN KEY (env, tenant) REFERENCES tenantry.tenant (env, id),
    CONSTRAINT scim_user_linked CHECK (user_id IS NULL OR identity IS NOT NULL)
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX scim_user_name_key ON tenantry.scim_user (env, tenant, name_key);
CREATE UNIQUE INDEX scim_user_external_key ON tenantry.scim_user (env, tenant, external_id) WHERE external_id IS NOT NULL;
CREATE UNIQUE INDEX scim_user_member_key ON tenantry.scim_user (env, tenant, user_id) WHERE user_id IS NOT NULL;
CREATE INDEX scim_user_email ON tenantry.scim_user (env, tenant, email) WHERE user_id IS NULL;

CREATE TABLE tenantry.scim_group (
    env text NOT NULL,
    tenant uuid NOT NULL,
    id uuid NOT NULL,
    name text NOT NULL,
    -- In lower case.
    name_key text NOT NULL,
    external_id text,
    -- What its members hold, if an admin of the tenant said so.
    role text CONSTRAINT scim_group_role CHECK (role <> 'owner'),
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT scim_group_pkey PRIMARY KEY (env, tenant, id),
    CONSTRAINT scim_group_tenant_fkey FOREIGN KEY (env, tenant) REFERENCES tenantry.tenant (env, id)
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX scim_group_name_key ON tenantry.scim_group (env, tenant, name_key);
CREATE INDEX scim_group_external ON tenantry.scim_group (env, tenant, external_id) WHERE external_id IS NOT NULL;

CREATE TABLE tenantry.scim_group_user (
    env text NOT NULL,
    tenant uuid NOT NULL,
    group_id uuid NOT NULL,
    user_id uuid NOT NULL,
    CONSTRAINT scim_group_user_pkey PRIMARY KEY (env, tenant, group_id, user_id),
    CONSTRAINT scim_group_user_group_fkey FOREIGN KEY (env, tenant, group_id)
        REFERENCES tenantry.scim_group (env, tenant, id) ON DELETE CASCADE,
    CONSTRAINT scim_group_user_user_fkey FOREIGN KEY (env, tenant, user_id)
        REFERENCES tenantry.scim_user (env, tenant, id) ON DELETE CASCADE
);
CREATE INDEX scim_group_user_of ON tenantry.scim_group_user (env, tenant, user_id);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tenantry_serve') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON tenantry.directory, tenantry.scim_user, tenantry.scim_group,
            tenantry.scim_group_user TO tenantry_serve;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'rights were not granted: the migrating role does not own the tables';
END
$$;
