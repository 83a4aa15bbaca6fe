-- The seal's parts that do not depend on its mode. Runs as one implicit transaction, any number of times.
-- No function here trusts the caller's search_path: every name and operator is qualified.

CREATE SCHEMA IF NOT EXISTS seal AUTHORIZATION tenantry_ctx;
CREATE SCHEMA IF NOT EXISTS tenantry AUTHORIZATION tenantry_ctx;
SET LOCAL ROLE tenantry_ctx;
SET LOCAL search_path = pg_catalog, pg_temp;
REVOKE ALL ON SCHEMA seal, tenantry FROM PUBLIC;
-- Nothing in it is readable, and the owners of the app's tables name its function in their policies.
GRANT USAGE ON SCHEMA tenantry TO PUBLIC;

CREATE TABLE IF NOT EXISTS seal.key (
    kid integer PRIMARY KEY,
    k bytea NOT NULL CHECK (length(k) = 32)
);

-- The capability of an armed backend: currval() is kept per session, and no SQL but arm() can set it.
CREATE UNLOGGED SEQUENCE IF NOT EXISTS seal.high AS bigint MINVALUE -9223372036854775808;
CREATE UNLOGGED SEQUENCE IF NOT EXISTS seal.low AS bigint MINVALUE -9223372036854775808;
-- The tenant and the generation that a session is bound to, kept in the same way: the tenant by its mark.
CREATE UNLOGGED SEQUENCE IF NOT EXISTS seal.bound AS bigint MINVALUE -9223372036854775808;
CREATE UNLOGGED SEQUENCE IF NOT EXISTS seal.generation AS bigint MINVALUE -9223372036854775808;

CREATE TABLE IF NOT EXISTS tenantry.tenant (
    tenant_id uuid PRIMARY KEY,
    epoch bigint NOT NULL CHECK (epoch > 0),
    -- p preparing, a open, s suspended, r archived
    state "char" NOT NULL CHECK (state IN ('p', 'a', 's', 'r')),
    path text NOT NULL,
    fence bigint NOT NULL DEFAULT 0,
    created_by text NOT NULL DEFAULT '',
    -- The advisory lock that every open transaction of the tenant holds. Nobody can guess it, so nobody can hold
    -- it against the tenant.
    mark bigint NOT NULL DEFAULT hashtextextended(gen_random_uuid()::text, 0)
);
-- By it a bound session finds its tenant, and no two tenants may be one to it.
CREATE UNIQUE INDEX IF NOT EXISTS tenant_mark ON tenantry.tenant (mark);
REVOKE ALL ON seal.key, seal.high, seal.low, seal.bound, seal.generation, tenantry.tenant FROM PUBLIC;

-- Which backend this is. Where statistics of others may not be read, the server's own start stands in.
CREATE OR REPLACE FUNCTION seal.hello(OUT pid integer, OUT started bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER AS $$
DECLARE
    v_started pg_catalog.timestamptz;
BEGIN
    pid := pg_catalog.pg_backend_pid();
    SELECT pg_catalog.pg_stat_get_backend_start(i) INTO v_started FROM pg_catalog.pg_stat_get_backend_idset() i
     WHERE pg_catalog.pg_stat_get_backend_pid(i) OPERATOR(pg_catalog.=) pid;
    started := (EXTRACT(epoch FROM coalesce(v_started, pg_catalog.pg_postmaster_start_time()))
        OPERATOR(pg_catalog.*) 1000000)::pg_catalog.int8;
END
$$;

-- Proves that the caller knows the key, and leaves the capability in this session. Runs at each change of tenant,
-- hence no helper functions and no SET clause.
CREATE OR REPLACE FUNCTION seal.arm(p_kid integer, p_mac bytea) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    v_key pg_catalog.bytea;
    v_backend pg_catalog.bytea;
    v_proof pg_catalog.bytea;
    v_done pg_catalog.int8;
BEGIN
    SELECT key.k, pg_catalog.int4send(h.pid) OPERATOR(pg_catalog.||) pg_catalog.int8send(h.started)
      INTO v_key, v_backend FROM seal.key, seal.hello() h WHERE key.kid OPERATOR(pg_catalog.=) p_kid;
    v_proof := pg_catalog.sha256(v_key OPERATOR(pg_catalog.||) pg_catalog.sha256(v_key OPERATOR(pg_catalog.||)
        'tenantry seal arm 1'::pg_catalog.bytea OPERATOR(pg_catalog.||) v_backend));
    IF v_proof IS NULL OR p_mac IS NULL OR v_proof OPERATOR(pg_catalog.<>) p_mac THEN
        RAISE EXCEPTION 'the seal refuses to be armed' USING ERRCODE = '28000';
    END IF;
    v_proof := pg_catalog.sha256(v_key OPERATOR(pg_catalog.||) pg_catalog.sha256(v_key OPERATOR(pg_catalog.||)
        'tenantry seal capability 1'::pg_catalog.bytea OPERATOR(pg_catalog.||) v_backend));
    v_done := pg_catalog.setval('seal.high', ('x' OPERATOR(pg_catalog.||)
        pg_catalog.encode(pg_catalog.substr(v_proof, 1, 8), 'hex'))::pg_catalog.bit(64)::pg_catalog.int8);
    v_done := pg_catalog.setval('seal.low', ('x' OPERATOR(pg_catalog.||)
        pg_catalog.encode(pg_catalog.substr(v_proof, 9, 8), 'hex'))::pg_catalog.bit(64)::pg_catalog.int8);
END
$$;

-- Proves that the caller knows the key, and binds this session to one tenant at one generation: from now on seal.enter()
-- lets that tenant in and no other, with nothing secret in the statement. Whether the tenant is open and of this
-- generation is looked at by each enter.
CREATE OR REPLACE FUNCTION seal.bind(p_kid integer, p_tenant uuid, p_epoch bigint, p_proof bytea) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    v_key pg_catalog.bytea;
    v_backend pg_catalog.bytea;
    v_proof pg_catalog.bytea;
    v_mark pg_catalog.int8;
    v_done pg_catalog.int8;
BEGIN
    SELECT key.k, pg_catalog.int4send(h.pid) OPERATOR(pg_catalog.||) pg_catalog.int8send(h.started)
      INTO v_key, v_backend FROM seal.key, seal.hello() h WHERE key.kid OPERATOR(pg_catalog.=) p_kid;
    v_proof := pg_catalog.sha256(v_key OPERATOR(pg_catalog.||) pg_catalog.sha256(v_key OPERATOR(pg_catalog.||)
        'tenantry seal bind 1'::pg_catalog.bytea OPERATOR(pg_catalog.||) v_backend
        OPERATOR(pg_catalog.||) pg_catalog.uuid_send(p_tenant) OPERATOR(pg_catalog.||) pg_catalog.int8send(p_epoch)));
    IF v_proof IS NULL OR p_proof IS NULL OR v_proof OPERATOR(pg_catalog.<>) p_proof THEN
        RAISE EXCEPTION 'the seal refuses to be bound' USING ERRCODE = '28000';
    END IF;
    SELECT t.mark INTO v_mark FROM tenantry.tenant t WHERE t.tenant_id OPERATOR(pg_catalog.=) p_tenant;
    IF v_mark IS NULL THEN
        RAISE EXCEPTION 'no such tenant here' USING ERRCODE = 'TN003';
    END IF;
    v_done := pg_catalog.setval('seal.bound', v_mark);
    v_done := pg_catalog.setval('seal.generation', p_epoch);
END
$$;

-- The way in on a standby, which keeps nothing in a session, since no sequence can be set there: each transaction brings
-- the proof, which holds on this backend, for one tenant at one generation. Gives the tenant's search_path once the tenant
-- may come in. What the primary has committed is seen here when it was replayed; that goes for the gate as well.
CREATE OR REPLACE FUNCTION seal.check_standby(p_kid integer, p_tenant uuid, p_epoch bigint, p_proof bytea) RETURNS text
LANGUAGE plpgsql SECURITY INVOKER AS $$
DECLARE
    v_key pg_catalog.bytea;
    v_backend pg_catalog.bytea;
    v_proof pg_catalog.bytea;
    v_mark pg_catalog.int8;
    v_epoch pg_catalog.int8;
    v_state pg_catalog."char";
    v_path pg_catalog.text;
BEGIN
    SELECT key.k, pg_catalog.int4send(h.pid) OPERATOR(pg_catalog.||) pg_catalog.int8send(h.started)
      INTO v_key, v_backend FROM seal.key, seal.hello() h WHERE key.kid OPERATOR(pg_catalog.=) p_kid;
    v_proof := pg_catalog.sha256(v_key OPERATOR(pg_catalog.||) pg_catalog.sha256(v_key OPERATOR(pg_catalog.||)
        'tenantry seal standby 1'::pg_catalog.bytea OPERATOR(pg_catalog.||) v_backend
        OPERATOR(pg_catalog.||) pg_catalog.uuid_send(p_tenant) OPERATOR(pg_catalog.||) pg_catalog.int8send(p_epoch)));
    IF v_proof IS NULL OR p_proof IS NULL OR v_proof OPERATOR(pg_catalog.<>) p_proof THEN
        RAISE EXCEPTION 'the seal refuses the proof' USING ERRCODE = '28000';
    END IF;
    -- A standby that was promoted follows nobody any more: what it has may be anything.
    IF NOT pg_catalog.pg_is_in_recovery() THEN
        RAISE EXCEPTION 'the server is no standby' USING ERRCODE = 'TN004';
    END IF;
    SELECT t.mark INTO v_mark FROM tenantry.tenant t WHERE t.tenant_id OPERATOR(pg_catalog.=) p_tenant;
    IF v_mark IS NULL THEN
        RAISE EXCEPTION 'no such tenant here' USING ERRCODE = 'TN003';
    END IF;
    -- Standbys have advisory locks of their own; this one is for whoever asks there who is inside.
    IF pg_catalog.pg_advisory_xact_lock_shared(v_mark) IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT t.epoch, t.state, t.path INTO v_epoch, v_state, v_path FROM tenantry.tenant t WHERE t.tenant_id OPERATOR(pg_catalog.=) p_tenant;
    IF v_epoch IS NULL THEN
        RAISE EXCEPTION 'no such tenant here' USING ERRCODE = 'TN003';
    ELSIF v_epoch OPERATOR(pg_catalog.<>) p_epoch THEN
        RAISE EXCEPTION 'the tenant was moved' USING ERRCODE = 'TN001';
    ELSIF v_state OPERATOR(pg_catalog.<>) 'a'::pg_catalog."char" THEN
        RAISE EXCEPTION 'the tenant is not open' USING ERRCODE = 'TN002';
    END IF;
    RETURN v_path;
END
$$;

-- The open transactions of a tenant, as process ids, for whoever must end them.
CREATE OR REPLACE FUNCTION seal.sessions(p_tenant uuid) RETURNS SETOF integer
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT l.pid FROM pg_locks l, tenantry.tenant t
     WHERE t.tenant_id = p_tenant AND l.locktype = 'advisory' AND l.objsubid = 1
       AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND l.classid = ((t.mark >> 32) & 4294967295)::oid AND l.objid = (t.mark & 4294967295)::oid
$$;

REVOKE ALL ON FUNCTION seal.hello(), seal.arm(integer, bytea), seal.bind(integer, uuid, bigint, bytea),
    seal.check_standby(integer, uuid, bigint, bytea), seal.sessions(uuid) FROM PUBLIC;
