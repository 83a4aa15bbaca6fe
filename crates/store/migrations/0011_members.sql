-- People of tenants: users, memberships, roles of a tenant, invitations, offers of ownership, and mail on its way.

-- A person, as one issuer knows them. The e-mail address identifies nobody: two tenants may have the same one.
CREATE TABLE tenantry.user_account (
    env text NOT NULL,
    id uuid NOT NULL,
    issuer text NOT NULL,
    -- Inside the issuer; empty where it has one pool only.
    pool text NOT NULL,
    subject text NOT NULL,
    email text NOT NULL,
    -- The coarse form, by which variants of an address are found.
    email_key text NOT NULL,
    name text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT user_account_pkey PRIMARY KEY (env, id),
    CONSTRAINT user_account_identity_key UNIQUE (env, issuer, pool, subject)
) WITH (fillfactor = 90);
-- Whether a person is known already, under any variant of their address.
CREATE INDEX user_account_email ON tenantry.user_account (env, email_key);

CREATE TABLE tenantry.member (
    env text NOT NULL,
    tenant uuid NOT NULL,
    user_id uuid NOT NULL,
    -- A role that every tenant has, or one of `member_role`.
    role text NOT NULL,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT member_pkey PRIMARY KEY (env, tenant, user_id),
    CONSTRAINT member_tenant_fkey FOREIGN KEY (env, tenant) REFERENCES tenantry.tenant (env, id),
    CONSTRAINT member_user_fkey FOREIGN KEY (env, user_id) REFERENCES tenantry.user_account (env, id)
) WITH (fillfactor = 90);
-- The tenants of a user.
CREATE INDEX member_of_user ON tenantry.member (env, user_id, tenant);
-- How many hold a role, above all that of the owner.
CREATE INDEX member_role_of ON tenantry.member (env, tenant, role);

CREATE TABLE tenantry.member_role (
    env text NOT NULL,
    tenant uuid NOT NULL,
    name text NOT NULL CONSTRAINT member_role_name CHECK (name NOT IN ('owner', 'admin', 'member', 'readonly')),
    title text,
    permissions text[] NOT NULL,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT member_role_pkey PRIMARY KEY (env, tenant, name),
    CONSTRAINT member_role_tenant_fkey FOREIGN KEY (env, tenant) REFERENCES tenantry.tenant (env, id)
);

CREATE TABLE tenantry.invitation (
    env text NOT NULL,
    id uuid NOT NULL,
    tenant uuid NOT NULL,
    email text NOT NULL,
    email_key text NOT NULL,
    role text NOT NULL,
    -- What the secret of the newest link is made of, together with a key that is nowhere in this database.
    nonce bytea NOT NULL CONSTRAINT invitation_nonce CHECK (octet_length(nonce) = 32),
    -- Keyed hash of that secret.
    hash bytea NOT NULL CONSTRAINT invitation_hash CHECK (octet_length(hash) = 32),
    status text NOT NULL CONSTRAINT invitation_status CHECK (status IN ('pending', 'accepted', 'declined', 'withdrawn')),
    -- The member on whose behalf it was made; absent for an operator's own.
    invited_by uuid,
    -- How often, and when it was sent or shown last.
    sends integer NOT NULL CONSTRAINT invitation_sends CHECK (sends BETWEEN 1 AND 100),
    sent_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    settled_at timestamptz,
    -- Who became a member by it.
    accepted_by uuid,
    CONSTRAINT invitation_pkey PRIMARY KEY (env, id),
    CONSTRAINT invitation_tenant_fkey FOREIGN KEY (env, tenant) REFERENCES tenantry.tenant (env, id),
    CONSTRAINT invitation_settled CHECK ((status = 'pending') = (settled_at IS NULL)),
    CONSTRAINT invitation_life CHECK (expires_at <= sent_at + interval '72 hours')
) WITH (fillfactor = 80);
-- A link names no environment.
CREATE UNIQUE INDEX invitation_id_key ON tenantry.invitation (id);
CREATE UNIQUE INDEX invitation_open_key ON tenantry.invitation (env, tenant, email_key) WHERE status = 'pending';
CREATE INDEX invitation_list ON tenantry.invitation (env, tenant, id);

-- An owner's offer to hand the ownership on; at most one per tenant.
CREATE TABLE tenantry.ownership_offer (
    env text NOT NULL,
    tenant uuid NOT NULL,
    from_user uuid NOT NULL,
    to_user uuid NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT ownership_offer_pkey PRIMARY KEY (env, tenant),
    CONSTRAINT ownership_offer_from_fkey FOREIGN KEY (env, tenant, from_user)
        REFERENCES tenantry.member (env, tenant, user_id) ON DELETE CASCADE,
    CONSTRAINT ownership_offer_to_fkey FOREIGN KEY (env, tenant, to_user)
        REFERENCES tenantry.member (env, tenant, user_id) ON DELETE CASCADE
);

-- Mail that was decided on in a commit and leaves after it. No text and no secret: both are made when it leaves.
CREATE TABLE tenantry.mail (
    id uuid NOT NULL CONSTRAINT mail_pkey PRIMARY KEY,
    env text NOT NULL,
    invitation uuid NOT NULL,
    -- Of the invitation when it was queued: one that was sent anew since makes this mail void.
    sends integer NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    -- One of these ends it.
    sent_at timestamptz,
    dropped_at timestamptz,
    -- Why the last attempt failed, or why it was dropped.
    cause text,
    CONSTRAINT mail_invitation_fkey FOREIGN KEY (env, invitation) REFERENCES tenantry.invitation (env, id) ON DELETE CASCADE
) WITH (fillfactor = 70);
CREATE INDEX mail_due ON tenantry.mail (due_at) WHERE sent_at IS NULL AND dropped_at IS NULL;
CREATE INDEX mail_of ON tenantry.mail (env, invitation);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tenantry_serve') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON tenantry.user_account, tenantry.member, tenantry.member_role,
            tenantry.invitation, tenantry.ownership_offer, tenantry.mail TO tenantry_serve;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'rights were not granted: the migrating role does not own the tables';
END
$$;
