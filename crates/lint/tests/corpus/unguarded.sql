-- Statements that could cross tenants. Each says which rule finds it, and on which table.

-- Forgotten conditions.

-- expect: TL101 orders
SELECT * FROM orders;
-- expect: TL101 orders
SELECT * FROM orders WHERE id = $1;
-- expect: TL101 customers
SELECT count(*) FROM customers WHERE status = 'active' AND created_at > now() - interval '30 days';
-- expect: TL101 products
SELECT sku, name FROM products ORDER BY name LIMIT 50;
-- expect: TL101 users
SELECT EXISTS (SELECT 1 FROM users WHERE email = lower($1));
-- expect: TL101 tasks
TABLE tasks;
-- expect: TL101 events_2026
SELECT kind, count(*) FROM events_2026 GROUP BY kind;
-- expect: TL101 orders
SELECT "orders".* FROM "orders" WHERE "orders"."number" = $1 LIMIT $2;
-- expect: TL101 public.orders
SELECT "public"."orders"."id" FROM "public"."orders" WHERE ("public"."orders"."id" = $1 AND 1=1) LIMIT $2 OFFSET $3;

-- Conditions that only look right.

-- expect: TL101 orders
SELECT * FROM orders WHERE tenant_id <> $1;
-- expect: TL101 orders
SELECT * FROM orders WHERE NOT (tenant_id = $1);
-- expect: TL101 orders
SELECT * FROM orders WHERE tenant_id = tenant_id;
-- expect: TL101 orders
SELECT * FROM orders o WHERE o.tenant_id = o.tenant_id AND o.id = $1;
-- expect: TL101 orders
SELECT * FROM orders WHERE tenant_id IN ($1, $2);
-- expect: TL101 orders
SELECT * FROM orders WHERE tenant_id = ANY($1);
-- expect: TL101 orders
SELECT * FROM orders WHERE tenant_id IN ($1 /*, ... */);
-- expect: TL101 orders
SELECT * FROM orders WHERE tenant_id IS NULL;
-- expect: TL101 orders
SELECT * FROM orders WHERE tenant_id IS NOT NULL AND status = 'open';
-- expect: TL101 orders
SELECT * FROM orders WHERE tenant_id = $1 OR status = 'public';
-- expect: TL101 orders
SELECT * FROM orders WHERE tenant_id = $1 OR $1 IS NULL;
-- expect: TL101 orders
SELECT * FROM orders WHERE (tenant_id = $1 AND status = 'open') OR (status = 'draft' AND customer_id = $2);
-- expect: TL101 orders
SELECT * FROM orders WHERE tenant_id = coalesce($1, tenant_id);
-- expect: TL101 orders
SELECT * FROM orders WHERE coalesce(tenant_id, $1) = $1;
-- expect: TL101 orders
SELECT * FROM orders WHERE CASE WHEN $2 THEN tenant_id = $1 ELSE true END;
-- expect: TL101 orders
SELECT * FROM orders WHERE tenant_id >= $1 AND tenant_id <= $2;
-- expect: TL101 orders
SELECT * FROM orders WHERE tenant_id BETWEEN $1 AND $1;
-- expect: TL101 orders
SELECT * FROM orders WHERE tenant_id::text LIKE $1 || '%';
-- expect: TL101 orders
SELECT * FROM orders WHERE tenant_id = NULL;
-- expect: TL101 orders
SELECT * FROM orders WHERE tenant_id IS NOT DISTINCT FROM NULL;
-- expect: TL101 orders
SELECT * FROM orders WHERE (tenant_id, status) IN (($1, 'open'), ($2, 'open'));
-- expect: TL101 orders
SELECT status, count(*) FROM orders GROUP BY status HAVING bool_or(tenant_id = $1);
-- expect: TL101 orders
SELECT * FROM orders WHERE tenant_id = (note::jsonb ->> 'tenant')::uuid;
-- expect: TL101 orders
SELECT * FROM orders WHERE (tenant_id = $1) IS NOT FALSE;

-- Joins in which one side is bound and the other is not.

-- expect: TL101 orders
SELECT o.* FROM orders o JOIN customers c ON c.id = o.customer_id WHERE c.tenant_id = $1;
-- expect: TL101 order_items
SELECT o.number, i.quantity FROM orders o JOIN order_items i ON i.order_id = o.id WHERE o.tenant_id = $1;
-- expect: TL101 customers
SELECT o.number, c.name FROM orders o, customers c WHERE c.id = o.customer_id AND o.tenant_id = $1;
-- expect: TL101 orders
-- expect: TL101 customers
SELECT o.number, c.name FROM orders o JOIN customers c USING (tenant_id) WHERE o.customer_id = c.id;
-- expect: TL101 customers
SELECT c.name, o.number FROM customers c LEFT JOIN orders o ON o.tenant_id = $1 AND o.customer_id = c.id;
-- expect: TL101 customers
SELECT c.name FROM customers c LEFT JOIN orders o ON o.tenant_id = c.tenant_id AND o.customer_id = c.id AND c.tenant_id = $1;
-- expect: TL101 orders
SELECT c.name FROM orders o RIGHT JOIN customers c ON c.tenant_id = $1 AND o.customer_id = c.id WHERE c.tenant_id = $1;
-- expect: TL101 orders
-- expect: TL101 customers
SELECT * FROM orders o FULL JOIN customers c ON c.tenant_id = o.tenant_id AND o.tenant_id = $1 AND c.id = o.customer_id;
-- expect: TL101 products
SELECT o.id, p.name FROM orders o CROSS JOIN products p WHERE o.tenant_id = $1;
-- expect: TL101 comments
SELECT t.title, l.body FROM tasks t CROSS JOIN LATERAL (SELECT body FROM comments WHERE task_id = t.id ORDER BY created_at DESC LIMIT 1) l WHERE t.tenant_id = $1;
-- expect: TL101 users
SELECT t.title, u.email FROM tasks t LEFT JOIN users u ON u.id = t.assignee_id WHERE t.tenant_id = $1;
-- expect: TL101 users
SELECT "tasks"."id", T3."email" FROM "tasks" INNER JOIN "projects" ON ("tasks"."project_id" = "projects"."id" AND "tasks"."tenant_id" = "projects"."tenant_id") LEFT OUTER JOIN "users" T3 ON ("projects"."owner_id" = T3."id") WHERE "tasks"."tenant_id" = %s;

-- Sub-queries.

-- expect: TL101 orders
SELECT name FROM customers WHERE tenant_id = $1 AND id IN (SELECT customer_id FROM orders WHERE status = 'open');
-- expect: TL101 orders
SELECT c.name FROM customers c WHERE c.tenant_id = $1 AND EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id);
-- expect: TL101 orders
SELECT c.name FROM customers c WHERE c.tenant_id = $1 AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id);
-- expect: TL101 customers
SELECT c.name FROM customers c WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.tenant_id = c.tenant_id AND o.tenant_id = $1);
-- expect: TL101 orders
SELECT c.name, (SELECT max(created_at) FROM orders o WHERE o.customer_id = c.id) AS latest FROM customers c WHERE c.tenant_id = $1;
-- expect: TL101 customers
-- expect: TL101 orders
SELECT c.name, (SELECT count(*) FROM orders o WHERE o.tenant_id = c.tenant_id AND o.customer_id = c.id) FROM customers c;
-- expect: TL101 orders
SELECT * FROM (SELECT * FROM orders ORDER BY created_at DESC LIMIT 10) latest WHERE latest.tenant_id = $1;
-- expect: TL101 orders
SELECT * FROM (SELECT tenant_id, id, row_number() OVER (ORDER BY total DESC) AS rank FROM orders) r WHERE r.tenant_id = $1;
-- expect: TL101 orders
SELECT * FROM (SELECT DISTINCT ON (customer_id) tenant_id, customer_id, total FROM orders ORDER BY customer_id, created_at DESC) x WHERE tenant_id = $1;
-- expect: TL101 orders
SELECT total FROM (SELECT sum(total) AS total, status FROM orders GROUP BY status) s WHERE status = 'paid';
-- expect: TL101 users
SELECT * FROM orders WHERE tenant_id = $1 AND EXISTS (SELECT 1 FROM users WHERE orders.tenant_id = $1 AND role = 'admin');
-- expect: TL101 order_items
SELECT json_build_object('id', o.id, 'items', (SELECT json_agg(i) FROM order_items i WHERE i.order_id = o.id)) FROM orders o WHERE o.tenant_id = $1;
-- expect: TL101 order_items
SELECT ARRAY(SELECT sku FROM order_items JOIN products ON products.tenant_id = $1 AND products.id = product_id) AS skus;

-- Common table expressions.

-- expect: TL101 orders
WITH recent AS (SELECT * FROM orders WHERE created_at > now() - interval '1 day') SELECT count(*) FROM recent;
-- expect: TL101 orders
WITH o AS (SELECT * FROM orders) SELECT a.id FROM o a JOIN o b ON b.customer_id = a.customer_id WHERE a.tenant_id = $1;
-- expect: TL101 projects
WITH RECURSIVE tree AS (SELECT id, parent_id, tenant_id FROM projects WHERE tenant_id = $1 AND parent_id IS NULL UNION ALL SELECT p.id, p.parent_id, p.tenant_id FROM projects p JOIN tree t ON p.parent_id = t.id) SELECT * FROM tree;
-- expect: TL101 projects
-- expect: TL101 projects
WITH RECURSIVE tree AS (SELECT id, tenant_id FROM projects WHERE parent_id IS NULL UNION ALL SELECT p.id, p.tenant_id FROM projects p JOIN tree t ON p.parent_id = t.id AND p.tenant_id = t.tenant_id) SELECT * FROM tree WHERE tenant_id = $1;
-- expect: TL103 jobs
WITH gone AS (DELETE FROM jobs WHERE run_at < now() RETURNING tenant_id, id) SELECT count(*) FROM gone WHERE tenant_id = $1;
-- expect: TL101 orders
WITH totals AS MATERIALIZED (SELECT customer_id, sum(total) AS total FROM orders GROUP BY customer_id) SELECT c.name, t.total FROM customers c JOIN totals t ON t.customer_id = c.id WHERE c.tenant_id = $1;

-- Set operations: every arm counts.

-- expect: TL101 tasks
SELECT id, title FROM tasks WHERE tenant_id = $1 UNION ALL SELECT id, title FROM tasks WHERE assignee_id = $2;
-- expect: TL101 customers
SELECT email FROM users WHERE tenant_id = $1 UNION SELECT email FROM customers;
-- expect: TL101 customers
SELECT email FROM users WHERE tenant_id = $1 EXCEPT SELECT email FROM customers;
-- expect: TL101 customers
SELECT * FROM (SELECT tenant_id, email FROM users UNION ALL SELECT $1::uuid, email FROM customers) people WHERE people.tenant_id = $1;

-- Changes.

-- expect: TL102 orders
UPDATE orders SET status = 'void' WHERE id = $1;
-- expect: TL102 products
UPDATE products SET price = price * 1.1;
-- expect: TL102 orders
UPDATE orders SET status = 'late' FROM customers c WHERE c.id = orders.customer_id AND c.tenant_id = $1;
-- expect: TL101 customers
UPDATE orders SET note = c.name FROM customers c WHERE orders.tenant_id = $1 AND c.id = orders.customer_id;
-- expect: TL102 tasks
UPDATE "tasks" SET "state" = $1 WHERE "tasks"."id" IN ($2, $3, $4);
-- expect: TL101 order_items
UPDATE orders SET total = (SELECT sum(price * quantity) FROM order_items WHERE order_id = orders.id) WHERE tenant_id = $1;
-- expect: TL102 jobs
UPDATE jobs SET locked_by = $1 WHERE id = (SELECT id FROM jobs WHERE tenant_id = $2 ORDER BY run_at FOR UPDATE SKIP LOCKED LIMIT 1);
-- expect: TL105 orders
UPDATE orders SET tenant_id = $2 WHERE tenant_id = $1 AND customer_id = $3;
-- expect: TL105 orders
UPDATE orders SET (tenant_id, note) = ($2, 'moved') WHERE tenant_id = $1 AND id = $3;
-- expect: TL103 comments
DELETE FROM comments WHERE task_id = $1;
-- expect: TL103 jobs
DELETE FROM jobs;
-- expect: TL103 order_items
DELETE FROM order_items USING orders o WHERE o.id = order_items.order_id AND o.tenant_id = $1 AND o.status = 'void';
-- expect: TL101 orders
DELETE FROM order_items i USING orders o WHERE i.tenant_id = $1 AND o.id = i.order_id AND o.status = 'void';
-- expect: TL104 orders
INSERT INTO orders (tenant_id, id) SELECT c.settings ->> 'tenant', gen_random_uuid() FROM customers c WHERE c.tenant_id = $1;
-- expect: TL101 products
-- expect: TL104 products
INSERT INTO products (tenant_id, id, sku) SELECT tenant_id, id, sku FROM products;
-- expect: TL104 order_items
INSERT INTO order_items (tenant_id, id) SELECT (x ->> 'tenant_id')::uuid, (x ->> 'id')::uuid FROM jsonb_array_elements($1) AS x;
-- expect: TL104 usage_daily
INSERT INTO usage_daily (tenant_id, day, meter, amount) SELECT * FROM unnest($1::uuid[], $2::date[], $3::text[], $4::bigint[]);
-- expect: TL107 customers
INSERT INTO customers (tenant_id, id, email) VALUES ($1, $2, $3) ON CONFLICT (email) DO UPDATE SET name = excluded.name;
-- expect: TL107 products
INSERT INTO products (tenant_id, id, sku) VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET sku = excluded.sku WHERE products.stock = 0;
-- expect: TL105 customers
INSERT INTO customers (tenant_id, id, email) VALUES ($1, $2, $3) ON CONFLICT (tenant_id, email) DO UPDATE SET tenant_id = $4;
-- expect: TL106 products
MERGE INTO products p USING (VALUES ($1::uuid, $2::int)) AS v (id, stock) ON p.id = v.id WHEN MATCHED THEN UPDATE SET stock = v.stock;
-- expect: TL106 products
MERGE INTO products p USING (SELECT $1::uuid AS tenant_id, $2::uuid AS id) v ON p.tenant_id = v.tenant_id AND p.id = v.id WHEN NOT MATCHED BY SOURCE THEN DELETE;
-- expect: TL101 order_items
MERGE INTO products p USING order_items i ON p.tenant_id = $1 AND i.tenant_id = $1 AND p.id = i.product_id WHEN NOT MATCHED THEN INSERT (tenant_id, id) VALUES ($1, i.product_id);
-- expect: TL105 products
MERGE INTO products p USING (SELECT $1::uuid AS id) v ON p.tenant_id = $2 AND p.id = v.id WHEN MATCHED THEN UPDATE SET tenant_id = $3;

-- Whole tables.

-- expect: TL110 orders
COPY orders TO STDOUT;
-- expect: TL110 customers
COPY customers (email, name) FROM STDIN WITH (FORMAT csv);
\.
-- expect: TL101 orders
COPY (SELECT * FROM orders WHERE status = 'open') TO STDOUT;
-- expect: TL110 users
\copy users to 'users.csv' csv header
-- expect: TL111 events
TRUNCATE events;
-- expect: TL111 order_items
TRUNCATE TABLE ONLY order_items, countries RESTART IDENTITY CASCADE;

-- Queries inside of other statements.

-- expect: TL101 orders
EXPLAIN SELECT * FROM orders WHERE id = $1;
-- expect: TL101 orders
-- expect: TL202 orders_copy
CREATE TABLE orders_copy AS SELECT * FROM orders;
-- expect: TL101 orders
DECLARE c CURSOR FOR SELECT * FROM orders;
-- expect: TL101 orders
CREATE FUNCTION open_orders() RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM orders WHERE status = 'open' $$;
-- expect: TL102 orders
CREATE FUNCTION void_order(p_id uuid) RETURNS void LANGUAGE plpgsql AS $$ BEGIN UPDATE orders SET status = 'void' WHERE id = p_id; END $$;
-- expect: TL101 orders
CREATE FUNCTION order_total(p_id uuid) RETURNS numeric BEGIN ATOMIC SELECT total FROM orders WHERE id = p_id; END;
-- expect: TL102 orders
DO $$ BEGIN UPDATE orders SET note = 'x' WHERE status = 'open'; END $$;
-- expect: TL003 -
CREATE FUNCTION any_count(p_table text) RETURNS bigint LANGUAGE plpgsql AS $$ DECLARE n bigint; BEGIN EXECUTE 'SELECT count(*) FROM ' || quote_ident(p_table) INTO n; RETURN n; END $$;

-- The session.

-- expect: TL301 -
SET ROLE admin;
-- expect: TL301 -
RESET ROLE;
-- expect: TL301 -
SET SESSION AUTHORIZATION postgres;
-- expect: TL302 -
SET app.tenant_id = '01a1fb3e-b7ce-7677-ad2f-c29f3bd980d4';
-- expect: TL302 -
SELECT set_config('tenantry.context', $1, true);
-- expect: TL302 -
SET LOCAL row_security = off;
-- expect: TL302 -
DISCARD ALL;
-- expect: TL311 -
SELECT * FROM dblink('dbname=other', 'SELECT 1') AS t (a int);

-- Recursions whose step leaves the tenant.

-- expect: TL101 users
WITH RECURSIVE tree(tid) AS (SELECT $1::uuid UNION ALL SELECT u.id FROM users u JOIN tree ON u.tenant_id = tree.tid) SELECT tid FROM tree;
-- expect: TL101 projects
WITH RECURSIVE tree(tid, id) AS (SELECT $1::uuid, $2::uuid UNION ALL SELECT p.owner_id, p.id FROM projects p JOIN tree ON p.tenant_id = tree.tid AND p.parent_id = tree.id) SELECT id FROM tree;
-- expect: TL101 projects
WITH RECURSIVE tree AS (SELECT tenant_id, id, owner_id FROM projects WHERE tenant_id = $1 UNION ALL SELECT p.owner_id, p.id, p.tenant_id FROM projects p JOIN tree t ON p.tenant_id = t.tenant_id) SELECT * FROM tree;
-- expect: TL101 ledger_entries
WITH RECURSIVE tree AS (SELECT * FROM ledger_entries WHERE tenant_id = $1 UNION ALL SELECT e.* FROM ledger_entries e JOIN tree ON e.tenant_id = tree.owner) SELECT * FROM tree;
-- expect: TL101 orders
WITH RECURSIVE two(t) AS (SELECT $1::uuid UNION SELECT $2::uuid) SELECT o.* FROM orders o JOIN two ON o.tenant_id = two.t;

-- Columns under other names.

-- expect: TL101 orders
CREATE VIEW v_renamed(t, id) WITH (security_invoker) AS SELECT tenant_id, id FROM orders;
-- expect: TL101 orders
CREATE VIEW v_swapped(owner, tenant_id) WITH (security_invoker) AS SELECT tenant_id, customer_id FROM orders;
-- expect: TL222 v_open
-- expect: TL101 v_open
CREATE VIEW v_open WITH (security_invoker) AS SELECT tenant_id, id FROM orders; ALTER VIEW v_open RENAME COLUMN tenant_id TO t; SELECT * FROM v_open;
-- expect: TL101 users
SELECT * FROM users AS c(a, tenant_id) WHERE c.tenant_id = $1;
-- expect: TL101 users
WITH u AS (SELECT tenant_id, id FROM users) SELECT * FROM u AS x(a, tenant_id) WHERE x.tenant_id = $1;
-- expect: TL101 ledger_entries
SELECT * FROM ledger_entries AS e(a, tenant_id) WHERE e.tenant_id = $1;

-- Tenants that are looked up by the row itself.

-- expect: TL101 users
SELECT * FROM users u WHERE u.tenant_id = (SELECT c.code::uuid FROM countries c WHERE u.email ~ c.name);
-- expect: TL101 users
SELECT * FROM users u WHERE u.tenant_id = (SELECT c.code::uuid FROM countries c WHERE starts_with(u.email, c.name));
-- expect: TL101 users
SELECT * FROM users u WHERE u.tenant_id = (SELECT c.code::uuid FROM countries c ORDER BY c.name = u.email DESC LIMIT 1);
-- expect: TL101 users
SELECT * FROM users u WHERE u.tenant_id = (SELECT coalesce(c.code::uuid, u.tenant_id) FROM countries c LIMIT 1);
-- expect: TL101 users
SELECT * FROM users u WHERE u.tenant_id = (SELECT c.code::uuid FROM countries c WHERE strpos(u::text, c.name) > 0);
-- expect: TL101 orders
-- expect: TL101 users
SELECT * FROM users JOIN orders USING (tenant_id) WHERE users.tenant_id = (SELECT c.code::uuid FROM countries c WHERE tenant_id::text ~ c.name);

-- Several tenants in a set.

-- expect: TL101 orders
SELECT * FROM orders o WHERE o.tenant_id IN (SELECT $1::uuid UNION ALL SELECT $2::uuid);
-- expect: TL101 orders
SELECT o.* FROM orders o JOIN (SELECT $1::uuid t UNION SELECT $2::uuid) v ON o.tenant_id = v.t;
-- expect: TL101 orders
SELECT o.* FROM orders o JOIN (SELECT $1::uuid t UNION VALUES ($2::uuid)) v ON o.tenant_id = v.t;
-- expect: TL101 orders
SELECT * FROM orders WHERE tenant_id IN (%s, %s);
-- expect: TL101 orders
SELECT * FROM orders WHERE tenant_id IN (?, ?);
-- expect: TL101 orders
SELECT * FROM orders WHERE tenant_id IN (:mine, :theirs);
-- expect: TL101 orders
SELECT * FROM orders WHERE tenant_id OPERATOR(app.=) $1;

-- Bodies and blocks: what stands inside is judged as outside.

-- expect: TL210 orders
DO $$ BEGIN ALTER TABLE orders DISABLE ROW LEVEL SECURITY; END $$;
-- expect: TL301 -
DO $$ BEGIN IF true THEN SET ROLE postgres; END IF; END $$;
-- expect: TL302 -
DO $$ BEGIN BEGIN PERFORM 1; EXCEPTION WHEN others THEN SET row_security = off; END; END $$;
-- expect: TL215 -
-- expect: TL216 orders
CREATE FUNCTION open_up() RETURNS void LANGUAGE plpgsql AS $$ BEGIN GRANT ALL ON orders TO PUBLIC; END $$;
-- expect: TL211 orders
CREATE FUNCTION make_view() RETURNS void LANGUAGE sql AS $$ CREATE VIEW all_orders AS SELECT tenant_id, id FROM orders; $$;
-- expect: TL301 -
-- expect: TL217 -
CREATE PROCEDURE up() LANGUAGE plpgsql AS $$ BEGIN RESET ROLE; ALTER ROLE deployer SUPERUSER; END $$;
-- expect: TL201 audit_trail
DO $$ BEGIN CREATE TABLE audit_trail (id bigint PRIMARY KEY); END $$;
-- expect: TL210 orders
DO $$ BEGIN EXECUTE 'ALTER TABLE orders NO FORCE ROW LEVEL SECURITY'; END $$;
-- expect: TL003 -
DO $$ DECLARE t text := 'orders'; BEGIN EXECUTE 'DELETE FROM ' || t USING 1; END $$;
-- expect: TL003 -
DO $$ DECLARE q text := 'x'; r record; BEGIN FOR r IN EXECUTE q LOOP PERFORM q; END LOOP; END $$;
-- expect: TL003 -
DO LANGUAGE plperl $$ spi_exec_query('DELETE FROM orders') $$;
-- expect: TL103 orders
DO $$ BEGIN DO $in$ BEGIN DELETE FROM orders; END $in$; END $$;

-- What cannot be read is said.

-- expect: TL003 -
CREATE FUNCTION unread() RETURNS void LANGUAGE sql AS $$ SELECT 1; DELETE FROM orders WHERE NOT ENFORCED x; $$;
-- expect: TL003 -
CREATE FUNCTION unread() RETURNS void LANGUAGE sql AS $$ DELETE FROM orders RETURNING (old AS o) o.id; $$;
-- expect: TL003 -
SELECT query_to_xml('select * from orders', true, false, '');
-- expect: TL003 -
SELECT * FROM crosstab('SELECT tenant_id, id, total FROM orders') AS t (a uuid, b numeric);

-- The door.

-- expect: TL211 open_orders
ALTER VIEW open_orders SET (security_invoker = false);
-- expect: TL211 open_orders
ALTER VIEW open_orders RESET (security_invoker);
-- expect: TL211 orders
CREATE SCHEMA reports CREATE VIEW all_orders AS SELECT tenant_id, id FROM orders;
-- expect: TL218 orders
CREATE PUBLICATION feed FOR TABLE orders;
-- expect: TL218 orders
ALTER PUBLICATION feed ADD TABLE orders WHERE (status = 'open');
-- expect: TL217 -
GRANT tenantry_ctx TO app;
-- expect: TL217 -
GRANT tn_0a1b2c_own TO app;
-- expect: TL222 orders
-- expect: TL101 orders
ALTER TABLE orders DROP COLUMN tenant_id; SELECT * FROM orders;
-- expect: TL202 orders
ALTER TABLE orders ALTER COLUMN tenant_id DROP NOT NULL;
-- expect: TL207 orders
ALTER TABLE orders SET UNLOGGED;
-- expect: TL223 orders
ALTER TABLE orders ALTER COLUMN tenant_id SET DEFAULT '01a1fb3e-b7ce-7677-ad2f-c29f3bd980d4'::uuid;
-- expect: TL204 things
-- expect: TL107 things
CREATE TABLE things (tenant_id uuid NOT NULL, id uuid NOT NULL, email text UNIQUE, PRIMARY KEY (tenant_id, id)); INSERT INTO things (tenant_id, id, email) VALUES ($1, $2, $3) ON CONFLICT ON CONSTRAINT things_email_key DO UPDATE SET id = excluded.id;
-- expect: TL107 orders
INSERT INTO orders (tenant_id, id) VALUES ($1, $2) ON CONFLICT ON CONSTRAINT nobody_knows DO UPDATE SET id = excluded.id;
