-- Usage of tenants: which events were counted, and what each hour came to.

-- Meters are documents of the catalog. Which kinds there are is the code's to say; a list here would be changed with each.
SET LOCAL lock_timeout = '5s';
ALTER TABLE tenantry.catalog DROP CONSTRAINT IF EXISTS catalog_kind_check;
ALTER TABLE tenantry.catalog ADD CONSTRAINT catalog_kind CHECK (kind ~ '^[a-z]{1,30}$') NOT VALID;

-- One row for each event that was counted, so that a repetition is known. By the UTC day of the event's own time, which a
-- repetition repeats; a day is dropped as a whole. `key` is a digest of source and id.
CREATE TABLE tenantry.usage_event (
    env text NOT NULL,
    day date NOT NULL,
    key bytea NOT NULL CONSTRAINT usage_event_key CHECK (octet_length(key) = 16),
    tenant uuid NOT NULL,
    meter text NOT NULL,
    received_at timestamptz NOT NULL,
    CONSTRAINT usage_event_pkey PRIMARY KEY (env, day, key)
) PARTITION BY RANGE (day);

-- What an hour came to. Late events change the hour that they belong to.
CREATE TABLE tenantry.usage_hour (
    env text NOT NULL,
    tenant uuid NOT NULL,
    meter text NOT NULL,
    hour timestamptz NOT NULL,
    -- The dimensions that the events had: a JSON mapping in one spelling, `{}` for none.
    dimensions text COLLATE "C" NOT NULL,
    aggregation text NOT NULL CONSTRAINT usage_hour_aggregation CHECK (aggregation IN ('sum', 'max', 'last', 'unique')),
    events bigint NOT NULL,
    -- In millionths; of a unique meter how many different values the hour had.
    value numeric NOT NULL,
    -- Time and key of the latest event, which decides the value of a meter that keeps the last one.
    last_at timestamptz NOT NULL,
    last_key bytea NOT NULL,
    -- Whether the world was told of just this.
    is_told boolean NOT NULL DEFAULT false,
    CONSTRAINT usage_hour_pkey PRIMARY KEY (env, tenant, meter, hour, dimensions)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);
CREATE INDEX usage_hour_untold ON tenantry.usage_hour (hour) WHERE NOT is_told;
CREATE INDEX usage_hour_meter ON tenantry.usage_hour (env, meter, hour);

-- Values that a unique meter has seen in an hour, as digests; days and months are counted from them.
CREATE TABLE tenantry.usage_member (
    env text NOT NULL,
    tenant uuid NOT NULL,
    meter text NOT NULL,
    hour timestamptz NOT NULL,
    dimensions text COLLATE "C" NOT NULL,
    member bytea NOT NULL CONSTRAINT usage_member_member CHECK (octet_length(member) = 16),
    CONSTRAINT usage_member_pkey PRIMARY KEY (env, tenant, meter, hour, dimensions, member)
);

-- How often the world was told of an hour of a tenant's meter.
CREATE TABLE tenantry.usage_report (
    env text NOT NULL,
    tenant uuid NOT NULL,
    meter text NOT NULL,
    hour timestamptz NOT NULL,
    revision integer NOT NULL,
    told_at timestamptz NOT NULL,
    CONSTRAINT usage_report_pkey PRIMARY KEY (env, tenant, meter, hour)
);

-- Makes the days from one to another, both included, and drops those before `oldest`. Whoever serves may not make tables by
-- itself; here it can make and drop just these.
CREATE FUNCTION tenantry.usage_days(first date, last date, oldest date) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '5s' AS $$
DECLARE
    one date;
    old record;
    changed integer := 0;
BEGIN
    IF last - first > 62 OR oldest > first THEN
        RAISE EXCEPTION 'not a span of days' USING ERRCODE = '22023';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('tenantry.usage_days', 0));
    FOR one IN SELECT d::date FROM generate_series(first::timestamp, last::timestamp, interval '1 day') AS d LOOP
        IF to_regclass(format('tenantry.%I', 'usage_event_' || to_char(one, 'YYYYMMDD'))) IS NULL THEN
            EXECUTE format('CREATE TABLE tenantry.%I PARTITION OF tenantry.usage_event FOR VALUES FROM (%L) TO (%L)',
                'usage_event_' || to_char(one, 'YYYYMMDD'), one, one + 1);
            changed := changed + 1;
        END IF;
    END LOOP;
    FOR old IN
        SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'tenantry.usage_event'::regclass
            AND c.relname < 'usage_event_' || to_char(oldest, 'YYYYMMDD')
    LOOP
        EXECUTE format('DROP TABLE tenantry.%I', old.relname);
        changed := changed + 1;
    END LOOP;
    RETURN changed;
END
$$;
REVOKE ALL ON FUNCTION tenantry.usage_days(date, date, date) FROM PUBLIC;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tenantry_serve') THEN
        GRANT SELECT, INSERT ON tenantry.usage_event TO tenantry_serve;
        GRANT SELECT, INSERT, UPDATE, DELETE ON tenantry.usage_hour, tenantry.usage_member, tenantry.usage_report TO tenantry_serve;
        GRANT EXECUTE ON FUNCTION tenantry.usage_days(date, date, date) TO tenantry_serve;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'rights of role tenantry_serve were not granted: the migrating role does not own the tables';
END
$$;
