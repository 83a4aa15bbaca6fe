-- Notifications: events that people may have to be told of, what is on its way to whom, and incidents.

-- An event that was not looked at yet. The statement that commits the event puts it here; whoever finds out who is to be told
-- takes it away in the statement that queues what is sent, so that neither is done twice or not at all.
CREATE TABLE tenantry.notice (
    env text NOT NULL,
    -- The event.
    id uuid NOT NULL,
    at timestamptz NOT NULL,
    -- The last tenant that was looked at, of those that an incident concerns; nil before the first one.
    after uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    CONSTRAINT notice_pkey PRIMARY KEY (env, id)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);
CREATE INDEX notice_at ON tenantry.notice (at);

-- What somebody is told, by one way. No text: that is made of the event when it leaves.
CREATE TABLE tenantry.notification (
    env text NOT NULL,
    id uuid NOT NULL,
    event uuid NOT NULL,
    kind text NOT NULL,
    -- Whom the event is about; NULL when it is about more than one.
    tenant uuid,
    -- The incident that it is about, and which update of it.
    incident uuid,
    number integer,
    channel text NOT NULL CONSTRAINT notification_channel CHECK (channel IN ('mail', 'chat')),
    -- Empty for chat, which there is one of.
    address text NOT NULL,
    -- Two with the same are one mailbox.
    address_key text NOT NULL,
    -- What is told once in a while only.
    topic text,
    attempts integer NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    -- One of these ends it.
    sent_at timestamptz,
    dropped_at timestamptz,
    -- Why the last attempt failed, or why it was dropped.
    cause text,
    CONSTRAINT notification_pkey PRIMARY KEY (env, id)
) WITH (fillfactor = 70);
-- However often an event is looked at, a mailbox is told once.
CREATE UNIQUE INDEX notification_once ON tenantry.notification (env, event, channel, address_key);
CREATE INDEX notification_due ON tenantry.notification (due_at) WHERE sent_at IS NULL AND dropped_at IS NULL;
CREATE INDEX notification_of ON tenantry.notification (env, tenant, id) WHERE tenant IS NOT NULL;
CREATE INDEX notification_incident ON tenantry.notification (env, incident) WHERE incident IS NOT NULL;
CREATE INDEX notification_created ON tenantry.notification (created_at);

CREATE TABLE tenantry.incident (
    env text NOT NULL,
    id uuid NOT NULL,
    -- Whom it concerns: a tenant, the tenants of a cell, or all when both are NULL.
    tenant uuid,
    cell text,
    severity text NOT NULL,
    title text NOT NULL,
    phase text NOT NULL,
    -- The number of the newest update, from 1.
    updates integer NOT NULL,
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    updated_at timestamptz NOT NULL,
    resolved_at timestamptz,
    CONSTRAINT incident_pkey PRIMARY KEY (env, id),
    CONSTRAINT incident_tenant_fkey FOREIGN KEY (env, tenant) REFERENCES tenantry.tenant (env, id),
    CONSTRAINT incident_scope CHECK (tenant IS NULL OR cell IS NULL)
) WITH (fillfactor = 80);
CREATE INDEX incident_of ON tenantry.incident (env, tenant) WHERE tenant IS NOT NULL;

CREATE TABLE tenantry.incident_update (
    env text NOT NULL,
    incident uuid NOT NULL,
    number integer NOT NULL,
    phase text NOT NULL,
    message text NOT NULL,
    at timestamptz NOT NULL,
    author text NOT NULL,
    CONSTRAINT incident_update_pkey PRIMARY KEY (env, incident, number),
    CONSTRAINT incident_update_incident_fkey FOREIGN KEY (env, incident) REFERENCES tenantry.incident (env, id)
);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tenantry_serve') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON tenantry.notice, tenantry.notification TO tenantry_serve;
        GRANT SELECT, INSERT, UPDATE ON tenantry.incident TO tenantry_serve;
        GRANT SELECT, INSERT ON tenantry.incident_update TO tenantry_serve;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'rights were not granted: the migrating role does not own the tables';
END
$$;
