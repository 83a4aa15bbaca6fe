-- Streams: servers that every event is published to, how far each subject is published, and who publishes.

-- Where events go. Every commit with events looks here, so what changes often is in the next table.
CREATE TABLE tenantry.stream_sink (
    -- The stream's name at its server.
    name text NOT NULL CONSTRAINT stream_sink_pkey PRIMARY KEY,
    -- The servers as they were configured last, without anything secret.
    servers text NOT NULL,
    -- What the subjects of its messages begin with.
    prefix text NOT NULL,
    -- Whether what was committed before is published, too.
    is_whole boolean NOT NULL,
    created_at timestamptz NOT NULL
);

-- Which process publishes, one at a time. Each that takes over has a higher claim, and the claim is compared by every write.
CREATE TABLE tenantry.stream_lane (
    sink text NOT NULL CONSTRAINT stream_lane_pkey PRIMARY KEY
        CONSTRAINT stream_lane_sink_fkey REFERENCES tenantry.stream_sink (name) ON DELETE CASCADE,
    owner uuid,
    claim bigint NOT NULL DEFAULT 0,
    seen_at timestamptz,
    -- How it stands, as its owner says.
    state text NOT NULL DEFAULT 'idle',
    -- The error that is in the way, by code and text; absent for none.
    code text,
    error text,
    published_at timestamptz
) WITH (fillfactor = 10);

-- How far each subject (nil: the environment itself) is published. Only the publisher writes it. No row: nothing is.
CREATE TABLE tenantry.stream_cursor (
    sink text NOT NULL,
    env text NOT NULL,
    subject uuid NOT NULL,
    published bigint NOT NULL,
    CONSTRAINT stream_cursor_pkey PRIMARY KEY (env, subject, sink)
) WITH (fillfactor = 70);

-- Subjects with something to publish. Written by the statement that commits events, one row a subject however many events wait,
-- so a server that is away for days costs no more than one that is away for a moment. No foreign key: each commit would lock the
-- sink's row.
CREATE TABLE tenantry.stream_line (
    sink text NOT NULL,
    env text NOT NULL,
    subject uuid NOT NULL,
    -- The subject's newest event.
    newest bigint NOT NULL,
    -- Since when something waits.
    since timestamptz NOT NULL,
    CONSTRAINT stream_line_pkey PRIMARY KEY (env, subject, sink)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX stream_line_since ON tenantry.stream_line (sink, since);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tenantry_serve') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON tenantry.stream_sink, tenantry.stream_lane, tenantry.stream_cursor,
            tenantry.stream_line TO tenantry_serve;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'rights were not granted: the migrating role does not own the tables';
END
$$;
