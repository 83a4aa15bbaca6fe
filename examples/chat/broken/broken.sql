-- What a broken or an injected application would send. 205 entries; every one is legal input for the parser
-- or meant to be, and none may reach another customer's rows.
--
-- Format. An entry starts with `-- name:` and lasts to the next one. `-- then` separates messages: each part
-- is sent as one simple query on the same client connection, and the parts after a failed one are sent as well.
--
--   -- name:    unique, for reports
--   -- tries:   the aim
--   -- expect:  refused    the last message ends in an error
--               contained  it may succeed or fail; whatever comes back is the sender's own
--               metadata   names, sizes and estimates may come back, rows of others may not
--   -- levels:  where the entry makes sense; without the line, everywhere
--
-- For every entry, whatever it expects: no result, notice or error holds a value of the other customer, the other
-- customer's rows are unchanged, and the next customer on the same server connection finds nothing of it. An entry may
-- change the sender's own rows, so give each one a fresh tenant or compare with a copy.
--
-- Placeholders, replaced before sending:
--   {own_id}             uuid of the sending tenant
--   {victim_id}          uuid of the other tenant
--   {victim_hex}         the same without dashes
--   {victim_message_id}  id of one of the other tenant's messages
--   {victim_schema}      schema of the other tenant (at the shared level any schema the sender has no right to)
--   {victim_role}        role of the other tenant
--   {owner_role}         role that owns the tables
--
-- `backtrace_functions` is the built-in setting that holds the tenant's id inside a transaction.


-- ---- Forgotten and wrong filters: bugs, not attacks ----

-- name: forgotten_where
-- tries: to list messages; the developer forgot the tenant.
-- expect: contained
SELECT * FROM messages;

-- name: forgotten_join
-- tries: to join four tables without a tenant in any of the conditions.
-- expect: contained
SELECT t.*, c.name, m.body, r.emoji
FROM users AS t, channels AS c, messages AS m, reactions AS r
WHERE m.channel_id = c.id AND r.message_id = m.id AND r.user_id = t.id;

-- name: forgotten_where_in_subquery
-- tries: to filter the outer table only.
-- expect: contained
SELECT * FROM channels AS c
WHERE c.tenant_id = '{own_id}' AND EXISTS (SELECT FROM messages AS m WHERE m.body LIKE '%a%')
  AND (SELECT count(*) FROM users) > 0;

-- name: forgotten_where_count
-- tries: to count rows: a total is a leak as well.
-- expect: contained
SELECT tenant_id, count(*) FROM messages GROUP BY tenant_id;

-- name: wrong_tenant_constant
-- tries: to read with the tenant id of another customer, say from a stale cache.
-- expect: contained
SELECT * FROM users WHERE tenant_id = '{victim_id}';

-- name: everybody_but_me
-- tries: to read all rows that are not its own.
-- expect: contained
SELECT * FROM messages WHERE tenant_id <> '{own_id}';

-- name: tenant_is_null
-- tries: to find rows that lost their tenant.
-- expect: contained
SELECT * FROM messages WHERE tenant_id IS NULL OR tenant_id = tenant_id;

-- name: delete_without_where
-- tries: to empty a table.
-- expect: contained
BEGIN;
-- then
DELETE FROM reactions RETURNING tenant_id, id;
-- then
ROLLBACK;

-- name: delete_victim
-- tries: to delete another customer's rows.
-- expect: contained
BEGIN;
-- then
DELETE FROM messages WHERE tenant_id = '{victim_id}' RETURNING *;
-- then
ROLLBACK;

-- name: update_without_where
-- tries: to change every row of a table.
-- expect: contained
BEGIN;
-- then
UPDATE messages SET body = 'overwritten' RETURNING tenant_id, id;
-- then
ROLLBACK;

-- name: update_victim
-- tries: to change another customer's rows.
-- expect: contained
BEGIN;
-- then
UPDATE users SET display_name = 'overwritten' WHERE tenant_id = '{victim_id}' RETURNING *;
-- then
ROLLBACK;

-- name: delete_using
-- tries: to delete through a join that binds no tenant.
-- expect: contained
BEGIN;
-- then
DELETE FROM files AS f USING messages AS m WHERE m.id = f.message_id RETURNING f.tenant_id;
-- then
ROLLBACK;

-- name: update_from
-- tries: to update through a join that binds no tenant.
-- expect: contained
BEGIN;
-- then
UPDATE messages AS m SET body = c.name FROM channels AS c WHERE c.id = m.channel_id RETURNING m.tenant_id;
-- then
ROLLBACK;


-- ---- Writing into another customer ----

-- name: insert_foreign
-- tries: to insert a row for another customer.
-- expect: refused
INSERT INTO users (tenant_id, email, display_name) VALUES ('{victim_id}', 'intruder@chat.example', 'Intruder');

-- name: insert_nobody
-- tries: to insert a row that belongs to nobody.
-- expect: refused
INSERT INTO users (tenant_id, email, display_name) VALUES (NULL, 'intruder@chat.example', 'Intruder');

-- name: insert_zero_uuid
-- tries: to insert a row for a tenant that does not exist.
-- expect: refused
INSERT INTO users (tenant_id, email, display_name) VALUES ('00000000-0000-0000-0000-000000000000', 'intruder@chat.example', 'Intruder');

-- name: insert_select_foreign
-- tries: to copy its own rows to another customer.
-- expect: refused
INSERT INTO users (tenant_id, email, display_name) SELECT '{victim_id}', 'x-' || email, display_name FROM users;

-- name: update_foreign_tenant_id
-- tries: to give its own rows to another customer.
-- expect: refused
UPDATE users SET tenant_id = '{victim_id}';

-- name: on_conflict_probe
-- tries: to learn from a conflict whether another customer has this address.
-- expect: refused
INSERT INTO users (tenant_id, email, display_name) VALUES ('{victim_id}', 'anna@chat.example', 'Probe') ON CONFLICT (tenant_id, email) DO NOTHING RETURNING *;

-- name: on_conflict_overwrite
-- tries: to reach another customer's row by the update arm of a conflict.
-- expect: refused
INSERT INTO users (tenant_id, email, display_name) VALUES ('{victim_id}', 'anna@chat.example', 'Probe') ON CONFLICT (tenant_id, email) DO UPDATE SET display_name = 'overwritten' RETURNING *;

-- name: on_conflict_move
-- tries: to move its own row to another customer in the update arm.
-- expect: refused
INSERT INTO users (email, display_name) VALUES ('anna@chat.example', 'Anna') ON CONFLICT (tenant_id, email) DO UPDATE SET tenant_id = '{victim_id}';

-- name: merge_foreign
-- tries: to write into another customer by MERGE.
-- expect: refused
MERGE INTO users AS u USING (VALUES ('{victim_id}'::uuid, 'merge@chat.example')) AS s (tenant_id, email)
ON u.tenant_id = s.tenant_id AND u.email = s.email
WHEN MATCHED THEN UPDATE SET display_name = 'overwritten'
WHEN NOT MATCHED THEN INSERT (tenant_id, email, display_name) VALUES (s.tenant_id, s.email, 'Merge');

-- name: writable_cte_foreign
-- tries: to hide the foreign write in a common table expression.
-- expect: refused
WITH w AS (INSERT INTO users (tenant_id, email, display_name) VALUES ('{victim_id}', 'cte@chat.example', 'Cte') RETURNING *) SELECT * FROM w;

-- name: foreign_parent
-- tries: to react to another customer's message: the key names the tenant, so the parent does not exist here.
-- expect: refused
-- levels: shared
INSERT INTO reactions (message_id, user_id, emoji)
SELECT {victim_message_id}, (SELECT id FROM users ORDER BY email LIMIT 1), 'eyes';

-- name: foreign_parent_and_child
-- tries: to name the other customer in the child as well.
-- expect: refused
INSERT INTO reactions (tenant_id, message_id, user_id, emoji)
SELECT '{victim_id}', {victim_message_id}, (SELECT id FROM users ORDER BY email LIMIT 1), 'eyes';

-- name: delete_parent_cascade
-- tries: to delete another customer's rows through a cascade from its own.
-- expect: contained
BEGIN;
-- then
DELETE FROM channels;
-- then
ROLLBACK;

-- name: write_reference_data
-- tries: to change data that all customers read.
-- expect: refused
UPDATE countries SET name = 'overwritten';

-- name: insert_reference_data
-- tries: to leave a message for others in reference data.
-- expect: refused
INSERT INTO countries (code, name) VALUES ('XX', 'mailbox');

-- name: lock_reference_data
-- tries: to stop everybody with a lock on reference data.
-- expect: refused
BEGIN;
-- then
LOCK TABLE countries IN ACCESS EXCLUSIVE MODE;

-- name: truncate
-- tries: to empty a table past the policies, which do not see TRUNCATE.
-- expect: refused
TRUNCATE messages CASCADE;


-- ---- Injected reads ----

-- name: or_true
-- tries: to widen a filter.
-- expect: contained
SELECT * FROM users WHERE email = '' OR 1=1 --' AND status = 'active'
;

-- name: union_select
-- tries: to append another table.
-- expect: contained
SELECT body FROM messages WHERE id = -1 UNION ALL SELECT email FROM users;

-- name: stacked_statement
-- tries: to append a second statement.
-- expect: contained
SELECT 1; SELECT * FROM users WHERE tenant_id = '{victim_id}';

-- name: error_division
-- tries: to read a bit from an error: the division must not see foreign rows.
-- expect: contained
SELECT 1 / (CASE WHEN tenant_id = '{victim_id}' THEN 0 ELSE 1 END) FROM messages;

-- name: error_cast
-- tries: to read text from an error message; only its own can appear.
-- expect: contained
SELECT * FROM messages WHERE CAST(body AS integer) = 1;

-- name: leaky_predicate
-- tries: to have its predicate run before the policy.
-- expect: contained
SELECT * FROM messages WHERE xmlparse(CONTENT '<a>' || body || '</b>') IS NOT NULL;

-- name: query_to_xml
-- tries: to run text as a query inside a function.
-- expect: contained
SELECT query_to_xml('SELECT * FROM messages', true, true, '');

-- name: table_to_xml
-- tries: to export a table.
-- expect: contained
SELECT table_to_xml('users', true, true, '');

-- name: ts_stat
-- tries: to collect words through a function that runs a query.
-- expect: contained
SELECT word FROM ts_stat('SELECT to_tsvector(''simple'', body) FROM messages');

-- name: physical_row
-- tries: to fetch rows by their place in the file.
-- expect: contained
SELECT * FROM messages WHERE ctid = ANY (ARRAY['(0,1)', '(0,2)', '(1,1)', '(2,1)', '(3,1)', '(4,1)']::tid[]);

-- name: sample
-- tries: to sample the file's pages.
-- expect: contained
SELECT * FROM messages TABLESAMPLE SYSTEM (100);

-- name: only
-- tries: to skip children and what may hang on them.
-- expect: contained
SELECT * FROM ONLY messages;

-- name: for_update
-- tries: to lock rows it cannot see.
-- expect: contained
BEGIN;
-- then
SELECT id FROM messages FOR UPDATE SKIP LOCKED;
-- then
ROLLBACK;

-- name: lock_table
-- tries: to stop the neighbours. Whoever may update a table may lock it: no row is seen; lock and statement time limits end it.
-- expect: contained
BEGIN;
-- then
LOCK TABLE messages IN ACCESS EXCLUSIVE MODE NOWAIT;
-- then
ROLLBACK;

-- name: whole_row
-- tries: to read rows as one value.
-- expect: contained
SELECT m FROM messages AS m;

-- name: lateral_generate
-- tries: to walk the key space.
-- expect: contained
SELECT m.* FROM generate_series(1, 5000) AS n JOIN messages AS m ON m.id = n;

-- name: recursive
-- tries: to walk from row to row.
-- expect: contained
WITH RECURSIVE w AS (SELECT id, tenant_id FROM messages UNION SELECT m.id, m.tenant_id FROM messages AS m JOIN w ON m.id = w.id + 1) SELECT * FROM w;

-- name: parallel_plan
-- tries: to read in workers, where a context might be missing.
-- expect: contained
BEGIN;
-- then
SET LOCAL parallel_setup_cost = 0; SET LOCAL parallel_tuple_cost = 0; SET LOCAL min_parallel_table_scan_size = 0;
-- then
SELECT tenant_id, count(*) FROM messages GROUP BY tenant_id;
-- then
ROLLBACK;


-- ---- Forging the context ----

-- name: set_register
-- tries: to overwrite the setting that holds the tenant.
-- expect: refused
SET backtrace_functions = '{victim_hex}';

-- name: set_local_register
-- tries: the same for one transaction.
-- expect: refused
SET LOCAL backtrace_functions = '{victim_hex}';

-- name: set_session_register
-- tries: the same with the long form.
-- expect: refused
SET SESSION backtrace_functions TO '{victim_hex}';

-- name: set_config_register
-- tries: the same by function.
-- expect: refused
SELECT set_config('backtrace_functions', '{victim_hex}', true);

-- name: set_config_in_query
-- tries: to change the tenant while the query runs.
-- expect: refused
SELECT * FROM (SELECT set_config('backtrace_functions', '{victim_hex}', true)) AS s, messages AS m;

-- name: set_config_in_filter
-- tries: to change the tenant from a filter.
-- expect: refused
SELECT * FROM messages WHERE set_config('backtrace_functions', '{victim_hex}', true) IS NOT NULL;

-- name: update_pg_settings
-- tries: to change the setting through its view.
-- expect: refused
UPDATE pg_settings SET setting = '{victim_hex}' WHERE name = 'backtrace_functions';

-- name: reset_register
-- tries: to put the setting back to its default.
-- expect: refused
RESET backtrace_functions;

-- name: set_register_default
-- tries: the same with other words.
-- expect: refused
SET backtrace_functions TO DEFAULT;

-- name: reset_all
-- tries: to clear everything and read without a context.
-- expect: contained
RESET ALL;
-- then
SELECT * FROM messages;

-- name: reset_all_same_message
-- tries: the same in one message.
-- expect: contained
RESET ALL; SELECT * FROM messages;

-- name: discard_all
-- tries: to clear the session and read without a context.
-- expect: contained
DISCARD ALL;
-- then
SELECT * FROM messages;

-- name: set_app_tenant
-- tries: to set the names that home-made policies read.
-- expect: contained
SET app.tenant_id = '{victim_id}'; SET app.current_tenant = '{victim_id}'; SET app.current_tenant_id = '{victim_id}'; SET tenantry.tenant = '{victim_id}'; SET tenantry.tenant_id = '{victim_id}'; SELECT * FROM messages WHERE tenant_id <> '{own_id}';

-- name: set_app_tenant_next
-- tries: the same with a read in the next transaction.
-- expect: contained
SET app.tenant_id = '{victim_id}'; SET tenantry.tenant = '{victim_id}';
-- then
SELECT * FROM messages WHERE tenant_id <> '{own_id}';

-- name: set_config_app_tenant
-- tries: the same by function, for the session.
-- expect: contained
SELECT set_config('app.tenant_id', '{victim_id}', false), set_config('tenantry.tenant', '{victim_id}', false), set_config('tenantry.tenant_id', '{victim_id}', false);
-- then
SELECT * FROM messages WHERE tenant_id <> '{own_id}';

-- name: commit_and_read
-- tries: to end the transaction of the context and go on.
-- expect: contained
SELECT 1; COMMIT; SELECT * FROM messages;

-- name: rollback_and_read
-- tries: the same with a rollback.
-- expect: contained
SELECT 1; ROLLBACK; SELECT * FROM messages;

-- name: commit_and_chain
-- tries: to open the next transaction itself.
-- expect: contained
BEGIN;
-- then
COMMIT AND CHAIN;
-- then
SELECT * FROM messages;
-- then
ROLLBACK;

-- name: begin_in_one_message
-- tries: to put its own transaction between context and read.
-- expect: contained
COMMIT; BEGIN; SELECT * FROM messages; COMMIT;

-- name: savepoint_reset
-- tries: to clear the context in a subtransaction and roll back.
-- expect: contained
BEGIN;
-- then
SAVEPOINT a; RESET ALL;
-- then
SELECT * FROM messages;
-- then
ROLLBACK TO SAVEPOINT a;
-- then
SELECT * FROM messages;
-- then
ROLLBACK;

-- name: savepoint_forge
-- tries: to forge behind a savepoint so that the error costs nothing.
-- expect: contained
BEGIN;
-- then
SAVEPOINT a;
-- then
SELECT set_config('backtrace_functions', '{victim_hex}', true);
-- then
ROLLBACK TO SAVEPOINT a;
-- then
SELECT * FROM messages WHERE tenant_id <> '{own_id}';
-- then
ROLLBACK;

-- name: savepoint_before_context
-- tries: to roll back to a point before the context.
-- expect: contained
SAVEPOINT before;
-- then
ROLLBACK TO SAVEPOINT before;
-- then
SELECT * FROM messages WHERE tenant_id <> '{own_id}';

-- name: do_forge
-- tries: to forge in a block that swallows the refusal.
-- expect: contained
DO $$
BEGIN
    PERFORM set_config('backtrace_functions', '{victim_hex}', true);
EXCEPTION WHEN OTHERS THEN
    NULL;
END $$;
SELECT * FROM messages WHERE tenant_id <> '{own_id}';

-- name: do_dynamic
-- tries: to forge with text put together at run time.
-- expect: refused
DO $$
BEGIN
    EXECUTE 'SET LOCAL backtrace' || '_functions = ' || quote_literal('{victim_hex}');
END $$;

-- name: do_commit
-- tries: to commit inside a block and go on reading without a context.
-- expect: contained
DO $$
DECLARE m record;
BEGIN
    COMMIT;
    FOR m IN SELECT * FROM messages LOOP
        RAISE NOTICE '%', m;
    END LOOP;
END $$;

-- name: do_shout
-- tries: to send rows out as notices.
-- expect: contained
DO $$
DECLARE m record;
BEGIN
    FOR m IN SELECT tenant_id, email FROM users LOOP
        RAISE NOTICE '%', m;
    END LOOP;
END $$;

-- name: do_try_every_function
-- tries: to find a function that opens the context: calls all that it may, with the other customer's id as argument.
-- expect: contained
DO $$
DECLARE
    f   record;
    m   record;
    arg text;
BEGIN
    FOR f IN
        SELECT p.oid, n.nspname, p.proname, p.proargtypes::oid[] AS types
        FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
        WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND p.prokind = 'f'
          AND has_schema_privilege(n.oid, 'USAGE') AND has_function_privilege(p.oid, 'EXECUTE')
    LOOP
        SELECT coalesce(string_agg(CASE WHEN t = 'bytea'::regtype THEN quote_literal('\x00') || '::bytea'
                                        WHEN t IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) THEN '1'
                                        WHEN t = 'bool'::regtype THEN 'true'
                                        ELSE quote_literal('{victim_id}') END, ', ' ORDER BY i), '')
        INTO arg FROM unnest(f.types) WITH ORDINALITY AS a (t, i);
        BEGIN
            EXECUTE format('SELECT %I.%I(%s)', f.nspname, f.proname, arg);
            FOR m IN SELECT * FROM messages WHERE tenant_id <> '{own_id}' LOOP
                RAISE NOTICE '%: %', f.proname, m;
            END LOOP;
        EXCEPTION WHEN OTHERS THEN
            NULL;
        END;
    END LOOP;
END $$;
SELECT * FROM messages WHERE tenant_id <> '{own_id}';

-- name: do_read_every_table
-- tries: to read whatever table answers, in any schema.
-- expect: contained
DO $$
DECLARE
    c record;
    r record;
BEGIN
    FOR c IN
        SELECT n.nspname, k.relname
        FROM pg_class AS k JOIN pg_namespace AS n ON n.oid = k.relnamespace
        WHERE k.relkind IN ('r', 'v', 'm', 'p', 'f', 'S') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    LOOP
        BEGIN
            FOR r IN EXECUTE format('SELECT t::text AS line FROM %I.%I AS t', c.nspname, c.relname) LOOP
                RAISE NOTICE '%.%: %', c.nspname, c.relname, r.line;
            END LOOP;
        EXCEPTION WHEN OTHERS THEN
            NULL;
        END;
    END LOOP;
END $$;

-- name: alter_role_setting
-- tries: to be the other customer from the next login on.
-- expect: refused
ALTER ROLE CURRENT_USER SET backtrace_functions = '{victim_hex}';

-- name: alter_role_search_path
-- tries: to look elsewhere from the next login on. PostgreSQL lets a role change its own defaults; the context sets the path in every transaction, so nothing is gained.
-- expect: contained
BEGIN;
-- then
ALTER ROLE CURRENT_USER SET search_path = '{victim_schema}';
-- then
ROLLBACK;

-- name: alter_role_timeout
-- tries: to slow or stop every later session of its role. PostgreSQL allows it; no row is seen.
-- expect: contained
BEGIN;
-- then
ALTER ROLE CURRENT_USER SET statement_timeout = '1ms';
-- then
ROLLBACK;

-- name: alter_role_row_security
-- tries: to have policies off from the next login on: queries would then be refused, never answered without them.
-- expect: contained
BEGIN;
-- then
ALTER ROLE CURRENT_USER SET row_security = off;
-- then
ROLLBACK;

-- name: alter_role_password
-- tries: to change the password of its login, and lock the gateway out. PostgreSQL lets a role do this; no row is seen.
-- expect: contained
BEGIN;
-- then
ALTER ROLE CURRENT_USER PASSWORD 'loot';
-- then
ROLLBACK;

-- name: alter_database_setting
-- tries: to do that for everybody.
-- expect: refused
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET backtrace_functions = %L', current_database(), '{victim_hex}'); END $$;

-- name: alter_system
-- tries: to do that for the server.
-- expect: refused
ALTER SYSTEM SET backtrace_functions = '{victim_hex}';

-- name: grant_parameter
-- tries: to give itself the right to the setting.
-- expect: refused
GRANT SET ON PARAMETER backtrace_functions TO PUBLIC;
-- then
SET backtrace_functions = '{victim_hex}';

-- name: function_set_clause
-- tries: to have a function change the setting.
-- expect: refused
CREATE FUNCTION forge() RETURNS bigint LANGUAGE sql SET backtrace_functions = '{victim_hex}' AS 'SELECT count(*) FROM messages';

-- name: sequence_set
-- tries: to move a shared sequence, and with it every customer's next id.
-- expect: refused
-- levels: shared
SELECT setval(pg_get_serial_sequence('messages', 'id'), 1);


-- ---- Roles and rights ----

-- name: set_role_owner
-- tries: to become the owner of the tables.
-- expect: refused
SET ROLE {owner_role};

-- name: set_local_role_owner
-- tries: the same for one transaction.
-- expect: refused
SET LOCAL ROLE {owner_role};

-- name: set_role_victim
-- tries: to become the role of another customer.
-- expect: refused
-- levels: schema, database
SET ROLE {victim_role};

-- name: set_role_superuser
-- tries: to become the superuser.
-- expect: refused
SET ROLE postgres;

-- name: set_session_authorization
-- tries: the same with the older statement.
-- expect: refused
SET SESSION AUTHORIZATION postgres;

-- name: set_role_by_config
-- tries: the same by function.
-- expect: refused
SELECT set_config('role', '{owner_role}', false);

-- name: reset_role
-- tries: to fall back to a stronger login role.
-- expect: contained
RESET ROLE; RESET SESSION AUTHORIZATION; SELECT * FROM messages WHERE tenant_id <> '{own_id}';

-- name: set_role_none
-- tries: the same with other words.
-- expect: contained
SET ROLE NONE; SELECT * FROM messages WHERE tenant_id <> '{own_id}';

-- name: alter_self_bypass
-- tries: to give itself BYPASSRLS.
-- expect: refused
ALTER ROLE CURRENT_USER BYPASSRLS;

-- name: alter_self_superuser
-- tries: to give itself everything.
-- expect: refused
ALTER ROLE CURRENT_USER SUPERUSER;

-- name: grant_owner
-- tries: to join the owner.
-- expect: refused
GRANT {owner_role} TO CURRENT_USER;

-- name: grant_read_all
-- tries: to join a built-in role that reads everything.
-- expect: refused
GRANT pg_read_all_data TO CURRENT_USER;

-- name: create_role
-- tries: to make a role of its own.
-- expect: refused
CREATE ROLE intruder LOGIN BYPASSRLS;

-- name: row_security_off
-- tries: to switch policies off. The query is refused, not answered without them.
-- expect: refused
SET row_security = off; SELECT * FROM messages;

-- name: row_security_off_config
-- tries: the same by function.
-- expect: refused
BEGIN;
-- then
SELECT set_config('row_security', 'off', true);
-- then
SELECT * FROM messages;

-- name: disable_rls
-- tries: to switch policies off in the table.
-- expect: refused
ALTER TABLE messages DISABLE ROW LEVEL SECURITY;

-- name: no_force_rls
-- tries: to exempt the owner.
-- expect: refused
ALTER TABLE messages NO FORCE ROW LEVEL SECURITY;

-- name: add_policy
-- tries: to add a policy that lets everything through.
-- expect: refused
CREATE POLICY all_rows ON messages USING (true);

-- name: drop_policies
-- tries: to drop every policy of the table.
-- expect: refused
DO $$
DECLARE p record;
BEGIN
    FOR p IN SELECT polname FROM pg_policy WHERE polrelid = 'messages'::regclass LOOP
        EXECUTE format('DROP POLICY %I ON messages', p.polname);
    END LOOP;
    RAISE EXCEPTION 'no policy found' USING ERRCODE = '42704';
END $$;

-- name: change_default
-- tries: to write for another customer by default.
-- expect: refused
ALTER TABLE messages ALTER COLUMN tenant_id SET DEFAULT '{victim_id}';

-- name: take_ownership
-- tries: to own the table.
-- expect: refused
ALTER TABLE messages OWNER TO CURRENT_USER;

-- name: grant_to_public
-- tries: to open the table to everybody.
-- expect: refused
GRANT SELECT ON messages TO PUBLIC; ALTER TABLE messages DISABLE ROW LEVEL SECURITY;


-- ---- Objects that would run or stand in for others ----

-- name: temp_shadow
-- tries: to shadow a table: the temporary schema is searched first, and a pooled session keeps it for the next customer.
-- expect: refused
CREATE TEMP TABLE messages (tenant_id uuid, id bigint, body text);

-- name: temp_shadow_select
-- tries: the same by another statement.
-- expect: refused
SELECT * INTO TEMP messages FROM users;

-- name: temp_function
-- tries: to shadow a function.
-- expect: refused
CREATE FUNCTION pg_temp.lower(text) RETURNS text LANGUAGE sql AS 'SELECT $1';

-- name: temp_view
-- tries: to leave a view behind.
-- expect: refused
CREATE TEMP VIEW channels AS SELECT 1 AS id;

-- name: create_table
-- tries: to make a table for itself.
-- expect: refused
CREATE TABLE loot (line text);

-- name: create_in_public
-- tries: the same in the schema that used to be open.
-- expect: refused
CREATE TABLE public.loot (line text);

-- name: create_schema
-- tries: to make a schema for itself.
-- expect: refused
CREATE SCHEMA loot;

-- name: create_view
-- tries: to read with the owner's rights.
-- expect: refused
CREATE VIEW loot AS SELECT * FROM messages;

-- name: create_materialized_view
-- tries: to keep a copy that has no policies.
-- expect: refused
CREATE MATERIALIZED VIEW loot AS SELECT * FROM messages;

-- name: create_trigger
-- tries: to run code when others write.
-- expect: refused
CREATE TRIGGER spy AFTER INSERT ON messages FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();

-- name: create_rule
-- tries: to rewrite what others write.
-- expect: refused
CREATE RULE spy AS ON INSERT TO messages DO ALSO NOTIFY spy;

-- name: create_function
-- tries: to have a function that runs before the policy.
-- expect: refused
CREATE FUNCTION leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 LEAKPROOF AS 'BEGIN RAISE NOTICE ''%'', $1; RETURN true; END';

-- name: create_operator
-- tries: to replace the equality of the policy.
-- expect: refused
CREATE OPERATOR = (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = uuid_ne);

-- name: create_cast
-- tries: to replace a conversion.
-- expect: refused
CREATE CAST (text AS uuid) WITH INOUT AS IMPLICIT;

-- name: create_extension
-- tries: to load code.
-- expect: refused
CREATE EXTENSION dblink;

-- name: create_language
-- tries: to load a language that reaches the machine.
-- expect: refused
CREATE EXTENSION plpython3u;

-- name: load_library
-- tries: to load a library.
-- expect: refused
LOAD 'auto_explain';

-- name: create_publication
-- tries: to have every change sent to itself.
-- expect: refused
CREATE PUBLICATION spy FOR ALL TABLES;

-- name: create_publication_table
-- tries: the same for one table.
-- expect: refused
CREATE PUBLICATION spy FOR TABLE messages;

-- name: create_subscription
-- tries: to reach another server.
-- expect: refused
CREATE SUBSCRIPTION spy CONNECTION 'host=203.0.113.1' PUBLICATION spy WITH (connect = false);

-- name: create_event_trigger
-- tries: to run code on migrations.
-- expect: refused
CREATE EVENT TRIGGER spy ON ddl_command_end EXECUTE FUNCTION suppress_redundant_updates_trigger();

-- name: create_statistics
-- tries: to collect statistics over foreign rows.
-- expect: refused
CREATE STATISTICS spy ON channel_id, author_id FROM messages;

-- name: drop_table
-- tries: to destroy.
-- expect: refused
DROP TABLE messages CASCADE;

-- name: add_foreign_key
-- tries: to probe rows through a key check.
-- expect: refused
ALTER TABLE reactions ADD FOREIGN KEY (message_id) REFERENCES messages (id);


-- ---- Names and paths ----

-- name: search_path_victim
-- tries: to point unqualified names at another customer's schema.
-- expect: refused
-- levels: schema
SET search_path TO {victim_schema}; SELECT * FROM messages;

-- name: search_path_local_victim
-- tries: the same for one transaction.
-- expect: refused
-- levels: schema
BEGIN;
-- then
SET LOCAL search_path = {victim_schema}, public;
-- then
SELECT * FROM messages;

-- name: search_path_config_victim
-- tries: the same by function, inside the query's own message.
-- expect: refused
-- levels: schema
SELECT set_config('search_path', '{victim_schema}', false); SELECT * FROM messages;

-- name: search_path_sticky
-- tries: to leave the path to the next transaction. The context sets it anew.
-- expect: contained
SET search_path TO {victim_schema}, pg_temp;
-- then
SELECT * FROM messages;

-- name: qualified_victim
-- tries: to name the other schema.
-- expect: refused
-- levels: schema
SELECT * FROM {victim_schema}.messages;

-- name: qualified_victim_write
-- tries: to write into the other schema.
-- expect: refused
-- levels: schema
INSERT INTO {victim_schema}.users (email, display_name) VALUES ('intruder@chat.example', 'Intruder');

-- name: grant_victim_schema
-- tries: to open the other schema. Without a right to give, PostgreSQL warns and gives nothing.
-- expect: refused
-- levels: schema
GRANT USAGE ON SCHEMA {victim_schema} TO PUBLIC; SELECT * FROM {victim_schema}.messages;

-- name: other_database
-- tries: to name a table in another database.
-- expect: refused
SELECT * FROM postgres.public.messages;

-- name: search_path_empty
-- tries: to break every name of the next transaction.
-- expect: contained
SET search_path = '';
-- then
SELECT * FROM messages;

-- name: search_path_temp_first
-- tries: to have the temporary schema searched first.
-- expect: contained
SET search_path = pg_temp, public; SELECT * FROM messages WHERE tenant_id <> '{own_id}';

-- name: shadow_builtin
-- tries: to have its own objects found before the built-in ones.
-- expect: contained
SET search_path = public, pg_catalog; SELECT * FROM pg_class WHERE relname = 'messages' AND relowner = 0;


-- ---- What a pooled session could keep for the next customer ----

-- name: prepare_steal
-- tries: to leave a statement under a likely name. The next customer must not run it.
-- expect: contained
PREPARE p1 AS SELECT pg_notify('loot', string_agg(body, ',')) FROM messages;
-- then
PREPARE s1 AS SELECT pg_notify('loot', string_agg(body, ',')) FROM messages;

-- name: prepare_and_execute
-- tries: to prepare now and run after the context has gone.
-- expect: contained
PREPARE later AS SELECT * FROM messages WHERE tenant_id <> '{own_id}';
-- then
EXECUTE later;

-- name: do_swap_prepared
-- tries: to replace a driver's statement without the gateway seeing the words.
-- expect: contained
DO $$
DECLARE s record;
BEGIN
    FOR s IN SELECT name FROM pg_prepared_statements LOOP
        EXECUTE format('DEALLOCATE %I', s.name);
        EXECUTE format('PREPARE %I AS SELECT pg_notify(''loot'', string_agg(body, '','')) FROM messages', s.name);
    END LOOP;
END $$;

-- name: cursor_with_hold
-- tries: to leave a result that outlives the transaction.
-- expect: contained
BEGIN;
-- then
DECLARE loot CURSOR WITH HOLD FOR SELECT * FROM messages; COMMIT;
-- then
FETCH ALL FROM loot;

-- name: listen
-- tries: to hear what others announce.
-- expect: contained
LISTEN loot;
-- then
SELECT 1;

-- name: notify
-- tries: to talk to other customers.
-- expect: contained
NOTIFY loot, 'hello';

-- name: advisory_lock
-- tries: to hold a lock that others wait for.
-- expect: contained
SELECT pg_try_advisory_lock(1), pg_try_advisory_lock(42);

-- name: session_settings
-- tries: to slow or change the next customer's queries.
-- expect: contained
SET enable_indexscan = off; SET work_mem = '64kB'; SET statement_timeout = '1ms'; SET TimeZone = 'Pacific/Chatham';
-- then
SELECT 1;

-- name: default_read_only
-- tries: to stop the next customer's writes.
-- expect: contained
SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY; SET default_transaction_isolation = 'serializable';
-- then
SELECT 1;

-- name: client_encoding
-- tries: to change how the next customer's bytes are read.
-- expect: contained
SET client_encoding = 'SQL_ASCII'; SET standard_conforming_strings = off; SET backslash_quote = on;
-- then
SELECT 1;

-- name: replica_role
-- tries: to switch foreign keys and triggers off.
-- expect: refused
SET session_replication_role = replica;

-- name: two_phase
-- tries: to leave a transaction that nobody ends.
-- expect: refused
BEGIN;
-- then
UPDATE messages SET body = body;
-- then
PREPARE TRANSACTION 'loot';

-- name: large_object
-- tries: to keep bytes outside tables, where no policy holds. A right to these functions is worth withdrawing; what it stores is its own.
-- expect: contained
BEGIN;
-- then
SELECT lo_from_bytea(0, 'loot');
-- then
ROLLBACK;

-- name: seed_random
-- tries: to make the next customer's random numbers known.
-- expect: contained
SELECT setseed(0.5);


-- ---- Files, programs and the network ----

-- name: copy_to_stdout
-- tries: to export a table. Policies hold for COPY TO.
-- expect: contained
COPY messages TO STDOUT;

-- name: copy_query_to_stdout
-- tries: to export by query.
-- expect: contained
COPY (SELECT * FROM messages WHERE tenant_id <> '{own_id}') TO STDOUT;

-- name: copy_from_stdin
-- tries: to load rows past the policies. PostgreSQL refuses COPY FROM under row-level security.
-- expect: refused
COPY users (tenant_id, email, display_name) FROM STDIN;

-- name: copy_to_file
-- tries: to write a file on the server.
-- expect: refused
COPY messages TO '/tmp/loot';

-- name: copy_from_file
-- tries: to read a file on the server.
-- expect: refused
CREATE TEMP TABLE loot (line text); COPY loot FROM '/etc/passwd';

-- name: copy_to_program
-- tries: to run a program on the server.
-- expect: refused
COPY (SELECT 1) TO PROGRAM 'cat > /dev/null';

-- name: read_file
-- tries: to read a file by function.
-- expect: refused
SELECT pg_read_file('postgresql.conf');

-- name: list_directory
-- tries: to list the server's files.
-- expect: refused
SELECT pg_ls_dir('.');

-- name: large_object_import
-- tries: to read a file as a large object.
-- expect: refused
SELECT lo_import('/etc/passwd');

-- name: logical_slot
-- tries: to read the change stream of all customers.
-- expect: refused
SELECT pg_create_logical_replication_slot('loot', 'test_decoding');

-- name: switch_wal
-- tries: to use a superuser's function.
-- expect: refused
SELECT pg_switch_wal();

-- name: reload_configuration
-- tries: to reload the server's configuration.
-- expect: refused
SELECT pg_reload_conf();

-- name: cancel_neighbours
-- tries: to cancel the queries of others in this database. PostgreSQL allows it within one role; no row is seen.
-- expect: contained
SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid();


-- ---- Spelling ----

-- name: comment_noise
-- tries: to hide a statement between comments.
-- expect: refused
/* report */ SET/**/backtrace_functions/* */TO '{victim_hex}' -- end
;

-- name: nested_comment
-- tries: to use comments that nest.
-- expect: refused
/* a /* b */ SELECT 1; */ SET LOCAL backtrace_functions = '{victim_hex}';

-- name: mixed_case
-- tries: to spell it oddly.
-- expect: refused
sEt LoCaL BACKTRACE_Functions = '{victim_hex}';

-- name: unicode_identifier
-- tries: to spell the setting with escapes.
-- expect: refused
SET LOCAL U&"backtrac\0065_functions" = '{victim_hex}';

-- name: unicode_string
-- tries: to spell the setting's name with escapes in a string.
-- expect: refused
SELECT set_config(U&'backtrac\0065_functions', '{victim_hex}', true);

-- name: hex_string
-- tries: to spell it with bytes.
-- expect: refused
SELECT set_config(E'\x62acktrace_functions', '{victim_hex}', true);

-- name: chr_string
-- tries: to put the name together from characters.
-- expect: refused
SELECT set_config(chr(98) || 'acktrace_functions', '{victim_hex}', true);

-- name: unicode_table
-- tries: to spell a table with escapes.
-- expect: contained
SELECT * FROM U&"m\0065ssages" WHERE tenant_id <> '{own_id}';

-- name: dollar_quotes
-- tries: to hide quotes.
-- expect: refused
SELECT set_config($a$backtrace_functions$a$, $b${victim_hex}$b$, true);

-- name: null_byte_escape
-- tries: to cut a string short with a zero byte.
-- expect: refused
SELECT * FROM users WHERE email = E'anna\x00' OR tenant_id = '{victim_id}';

-- name: null_byte_chr
-- tries: the same by function.
-- expect: refused
SELECT chr(0);

-- name: invalid_utf8
-- tries: to break a string with half a character.
-- expect: refused
SELECT E'\xC3\x28' FROM users;

-- name: fullwidth_quote
-- tries: to hope that a wide quote closes a string.
-- expect: contained
SELECT * FROM users WHERE email = 'x＇ OR 1=1 --';

-- name: long_literal
-- tries: to overrun something.
-- expect: contained
SELECT length(repeat('A', 1000000)) FROM users WHERE email = repeat('x', 100000) OR display_name = repeat('''', 1000);

-- name: uuid_spelling
-- tries: to spell the other customer's id in other legal ways.
-- expect: contained
SELECT * FROM messages WHERE tenant_id = '{{victim_hex}}' OR tenant_id = upper('{victim_id}')::uuid;


-- ---- What the catalog tells: names and estimates, never rows ----

-- name: roles
-- tries: to list roles.
-- expect: metadata
SELECT rolname FROM pg_roles;

-- name: schemas
-- tries: to list schemas.
-- expect: metadata
SELECT nspname FROM pg_namespace;

-- name: databases
-- tries: to list databases.
-- expect: metadata
SELECT datname FROM pg_database;

-- name: tables_everywhere
-- tries: to list tables, also those it may not read.
-- expect: metadata
SELECT nspname, relname, reltuples FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace;

-- name: policies
-- tries: to read the policies.
-- expect: metadata
SELECT * FROM pg_policies;

-- name: function_source
-- tries: to read how the context works. Knowing it must not help.
-- expect: metadata
SELECT proname, prosrc FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace WHERE nspname NOT IN ('pg_catalog', 'information_schema');

-- name: activity
-- tries: to read the queries of others.
-- expect: metadata
SELECT pid, usename, query FROM pg_stat_activity WHERE pid <> pg_backend_pid();

-- name: locks
-- tries: to see who works.
-- expect: metadata
SELECT * FROM pg_locks;

-- name: statistics_view
-- tries: to read frequent values. PostgreSQL hides them where row-level security holds.
-- expect: contained
SELECT tablename, attname, most_common_vals, histogram_bounds FROM pg_stats WHERE schemaname NOT IN ('pg_catalog', 'information_schema');

-- name: statistics_table
-- tries: to read them from the table behind the view.
-- expect: refused
SELECT * FROM pg_statistic;

-- name: explain_estimate
-- tries: to learn from an estimate how many rows others have.
-- expect: metadata
EXPLAIN SELECT * FROM messages WHERE pinned;

-- name: explain_analyze_write
-- tries: to write behind an EXPLAIN.
-- expect: refused
EXPLAIN ANALYZE INSERT INTO users (tenant_id, email, display_name) VALUES ('{victim_id}', 'explain@chat.example', 'Explain');

-- name: explain_verbose
-- tries: to read settings and quals from a plan.
-- expect: metadata
EXPLAIN (VERBOSE, SETTINGS) SELECT * FROM messages WHERE body LIKE '%a%';

-- name: sequence_volume
-- tries: to count what others insert from gaps in its own ids.
-- expect: metadata
-- levels: shared
SELECT max(id) - count(*) FROM messages;

-- name: sequence_peek
-- tries: to read the sequence itself.
-- expect: refused
-- levels: shared
DO $$ BEGIN EXECUTE 'SELECT last_value FROM ' || pg_get_serial_sequence('messages', 'id'); END $$;

-- name: table_size
-- tries: to learn the volume of all customers together.
-- expect: metadata
SELECT pg_total_relation_size('messages'), pg_database_size(current_database());

-- name: passwords
-- tries: to read password hashes.
-- expect: refused
SELECT * FROM pg_authid;

-- name: shadow
-- tries: to read them through a view.
-- expect: refused
SELECT * FROM pg_shadow;

-- name: host_rules
-- tries: to read who may connect from where.
-- expect: refused
SELECT * FROM pg_hba_file_rules;

-- name: user_mappings
-- tries: to read passwords for other servers.
-- expect: contained
SELECT * FROM pg_user_mappings;
