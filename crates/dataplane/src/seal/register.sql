-- Register mode: the context is the server's setting `backtrace_functions`, which only tenantry_ctx (and superusers)
-- may set, and which does nothing unless a C function of that name fails. Reading it costs nothing.

-- No SET clause: it would undo the search_path that is set here. Hence every name and operator is qualified.
CREATE OR REPLACE FUNCTION seal.enter(p_tenant uuid, p_epoch bigint, p_token bytea) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    v_mark pg_catalog.int8;
    v_epoch pg_catalog.int8;
    v_state pg_catalog."char";
    v_path pg_catalog.text;
    v_done pg_catalog.text;
BEGIN
    IF p_tenant IS NULL OR p_epoch IS NULL OR p_token IS NULL OR pg_catalog.sha256(
        'tenantry seal enter 1'::pg_catalog.bytea
        OPERATOR(pg_catalog.||) pg_catalog.int8send(pg_catalog.currval('seal.high'))
        OPERATOR(pg_catalog.||) pg_catalog.int8send(pg_catalog.currval('seal.low'))
        OPERATOR(pg_catalog.||) pg_catalog.uuid_send(p_tenant)
        OPERATOR(pg_catalog.||) pg_catalog.int8send(p_epoch)) OPERATOR(pg_catalog.<>) p_token
    THEN
        RAISE EXCEPTION 'the seal refuses the token' USING ERRCODE = '28000';
    END IF;
    SELECT t.mark INTO v_mark FROM tenantry.tenant t WHERE t.tenant_id OPERATOR(pg_catalog.=) p_tenant;
    IF v_mark IS NULL THEN
        RAISE EXCEPTION 'no such tenant here' USING ERRCODE = 'TN003';
    END IF;
    -- The lock comes before the look at the gate: whoever shuts the gate and then asks for the locks finds everybody
    -- who came through.
    -- As an expression, like the assignments below, because PERFORM would cost a whole query.
    IF pg_catalog.pg_advisory_xact_lock_shared(v_mark) IS NULL THEN
        RETURN;
    END IF;
    SELECT t.epoch, t.state, t.path INTO v_epoch, v_state, v_path FROM tenantry.tenant t WHERE t.tenant_id OPERATOR(pg_catalog.=) p_tenant;
    IF v_epoch IS NULL THEN
        RAISE EXCEPTION 'no such tenant here' USING ERRCODE = 'TN003';
    ELSIF v_epoch OPERATOR(pg_catalog.<>) p_epoch THEN
        RAISE EXCEPTION 'the tenant was moved' USING ERRCODE = 'TN001';
    ELSIF v_state OPERATOR(pg_catalog.<>) 'a'::pg_catalog."char" THEN
        RAISE EXCEPTION 'the tenant is not open' USING ERRCODE = 'TN002';
    END IF;
    v_done := pg_catalog.set_config('search_path', v_path, true);
    v_done := pg_catalog.set_config('backtrace_functions', pg_catalog.encode(pg_catalog.uuid_send(p_tenant), 'hex'), true);
END
$$;
REVOKE ALL ON FUNCTION seal.enter(uuid, bigint, bytea) FROM PUBLIC;

-- Lets in the tenant that this session is bound to, and says which one that is. Runs in every transaction: the fewer
-- expressions, the better, because each is set up anew in each transaction.
CREATE OR REPLACE FUNCTION seal.enter() RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    v_mark pg_catalog.int8 := pg_catalog.currval('seal.bound');
    v_tenant pg_catalog.uuid;
    v_path pg_catalog.text;
    v_epoch pg_catalog.int8;
    v_done pg_catalog.text;
BEGIN
    -- The lock comes before the look at the gate, as in the other form.
    IF pg_catalog.pg_advisory_xact_lock_shared(v_mark) IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT t.tenant_id, t.path INTO v_tenant, v_path FROM tenantry.tenant t
     WHERE t.mark OPERATOR(pg_catalog.=) v_mark AND t.epoch OPERATOR(pg_catalog.=) pg_catalog.currval('seal.generation')
       AND t.state OPERATOR(pg_catalog.=) 'a'::pg_catalog."char";
    IF v_tenant IS NULL THEN
        SELECT t.epoch INTO v_epoch FROM tenantry.tenant t WHERE t.mark OPERATOR(pg_catalog.=) v_mark;
        IF v_epoch IS NULL THEN
            RAISE EXCEPTION 'no such tenant here' USING ERRCODE = 'TN003';
        ELSIF v_epoch OPERATOR(pg_catalog.<>) pg_catalog.currval('seal.generation') THEN
            RAISE EXCEPTION 'the tenant was moved' USING ERRCODE = 'TN001';
        END IF;
        RAISE EXCEPTION 'the tenant is not open' USING ERRCODE = 'TN002';
    END IF;
    v_done := pg_catalog.set_config('search_path', v_path, true);
    v_done := pg_catalog.set_config('backtrace_functions', pg_catalog.encode(pg_catalog.uuid_send(v_tenant), 'hex'), true);
    RETURN v_tenant;
END
$$;
REVOKE ALL ON FUNCTION seal.enter() FROM PUBLIC;

-- Lets a tenant in on a standby, for this transaction, and says which one that is.
CREATE OR REPLACE FUNCTION seal.enter_standby(p_kid integer, p_tenant uuid, p_epoch bigint, p_proof bytea) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    v_path pg_catalog.text := seal.check_standby(p_kid, p_tenant, p_epoch, p_proof);
    v_done pg_catalog.text;
BEGIN
    v_done := pg_catalog.set_config('search_path', v_path, true);
    v_done := pg_catalog.set_config('backtrace_functions', pg_catalog.encode(pg_catalog.uuid_send(p_tenant), 'hex'), true);
    RETURN p_tenant;
END
$$;
REVOKE ALL ON FUNCTION seal.enter_standby(integer, uuid, bigint, bytea) FROM PUBLIC;

-- Parsed when it is created, so that no later search_path changes its meaning; the planner inlines it.
CREATE OR REPLACE FUNCTION tenantry.current_tenant() RETURNS uuid
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER
RETURN nullif(current_setting('backtrace_functions'), '')::uuid;
