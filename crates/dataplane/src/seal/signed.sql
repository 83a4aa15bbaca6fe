-- Signed mode, for servers whose operator does not grant the register: the context is a setting that everybody may
-- write, signed for this backend and this transaction with a key that nobody can read.

CREATE OR REPLACE FUNCTION seal.enter(p_tenant uuid, p_epoch bigint, p_token bytea) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    v_mark pg_catalog.int8;
    v_epoch pg_catalog.int8;
    v_state pg_catalog."char";
    v_path pg_catalog.text;
    v_done pg_catalog.text;
    v_key pg_catalog.record;
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
    SELECT key.kid, key.k INTO STRICT v_key FROM seal.key ORDER BY key.kid DESC LIMIT 1;
    v_done := pg_catalog.set_config('search_path', v_path, true);
    v_done := pg_catalog.set_config('tenantry.context', pg_catalog.concat_ws('.', v_key.kid, p_tenant,
        pg_catalog.encode(seal.signature(v_key.k, p_tenant), 'hex')), true);
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
    v_kid pg_catalog.int4;
    v_key pg_catalog.bytea;
BEGIN
    -- The lock comes before the look at the gate, as in the other form.
    IF pg_catalog.pg_advisory_xact_lock_shared(v_mark) IS NULL THEN
        RETURN NULL;
    END IF;
    -- The newest key comes with the row: another query would cost as much as all the rest.
    SELECT t.tenant_id, t.path, key.kid, key.k INTO v_tenant, v_path, v_kid, v_key FROM tenantry.tenant t, seal.key
     WHERE t.mark OPERATOR(pg_catalog.=) v_mark AND t.epoch OPERATOR(pg_catalog.=) pg_catalog.currval('seal.generation')
       AND t.state OPERATOR(pg_catalog.=) 'a'::pg_catalog."char"
     ORDER BY key.kid DESC LIMIT 1;
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
    v_done := pg_catalog.set_config('tenantry.context', pg_catalog.concat_ws('.', v_kid, v_tenant,
        pg_catalog.encode(seal.signature(v_key, v_tenant), 'hex')), true);
    RETURN v_tenant;
END
$$;
REVOKE ALL ON FUNCTION seal.enter() FROM PUBLIC;

-- Lets a tenant in on a standby, for this transaction, and says which one that is.
CREATE OR REPLACE FUNCTION seal.enter_standby(p_kid integer, p_tenant uuid, p_epoch bigint, p_proof bytea) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    v_path pg_catalog.text := seal.check_standby(p_kid, p_tenant, p_epoch, p_proof);
    v_key pg_catalog.record;
    v_done pg_catalog.text;
BEGIN
    SELECT key.kid, key.k INTO STRICT v_key FROM seal.key ORDER BY key.kid DESC LIMIT 1;
    v_done := pg_catalog.set_config('search_path', v_path, true);
    v_done := pg_catalog.set_config('tenantry.context', pg_catalog.concat_ws('.', v_key.kid, p_tenant,
        pg_catalog.encode(seal.signature(v_key.k, p_tenant), 'hex')), true);
    RETURN p_tenant;
END
$$;
REVOKE ALL ON FUNCTION seal.enter_standby(integer, uuid, bigint, bytea) FROM PUBLIC;

-- Bound to the process and to the start of the transaction: of no use in another session, nor later in this one.
CREATE OR REPLACE FUNCTION seal.signature(p_key bytea, p_tenant uuid) RETURNS bytea
LANGUAGE sql STABLE PARALLEL RESTRICTED SECURITY INVOKER
RETURN sha256(p_key || sha256(p_key || 'tenantry seal context 1'::bytea || uuid_send(p_tenant)
    || int4send(pg_backend_pid()) || timestamptz_send(now())));
REVOKE ALL ON FUNCTION seal.signature(bytea, uuid) FROM PUBLIC;

CREATE OR REPLACE FUNCTION tenantry.current_tenant() RETURNS uuid
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER AS $$
DECLARE
    v_context pg_catalog.text := pg_catalog.current_setting('tenantry.context', true);
    v_tenant pg_catalog.uuid;
    v_key pg_catalog.bytea;
BEGIN
    IF v_context IS NULL OR v_context OPERATOR(pg_catalog.=) '' THEN
        RETURN NULL;
    END IF;
    v_tenant := pg_catalog.split_part(v_context, '.', 2)::pg_catalog.uuid;
    SELECT key.k INTO v_key FROM seal.key
     WHERE key.kid OPERATOR(pg_catalog.=) pg_catalog.split_part(v_context, '.', 1)::pg_catalog.int4;
    IF v_key IS NULL OR v_tenant IS NULL OR pg_catalog.encode(seal.signature(v_key, v_tenant), 'hex')
        OPERATOR(pg_catalog.<>) pg_catalog.split_part(v_context, '.', 3)
    THEN
        RAISE EXCEPTION 'the tenant context is forged' USING ERRCODE = '28000';
    END IF;
    RETURN v_tenant;
END
$$;
