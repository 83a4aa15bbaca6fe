-- Statements that are bound to a tenant, as people write them by hand: none of them is found.

-- Plain reads.

SELECT * FROM orders WHERE tenant_id = $1;
SELECT id, total FROM orders WHERE tenant_id = $1 AND id = $2;
SELECT * FROM orders o WHERE $1 = o.tenant_id AND o.status = ANY($2);
SELECT * FROM orders WHERE tenant_id = tenantry.current_tenant();
SELECT * FROM orders WHERE tenant_id = (SELECT tenantry.current_tenant()) ORDER BY created_at DESC LIMIT 10;
SELECT * FROM orders WHERE tenant_id = current_setting('app.tenant_id')::uuid;
SELECT * FROM orders WHERE tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid;
SELECT * FROM orders WHERE tenant_id = (current_setting('request.jwt.claims', true)::json ->> 'tenant_id')::uuid;
SELECT * FROM orders WHERE tenant_id = '01a1fb3e-b7ce-7677-ad2f-c29f3bd980d4';
SELECT * FROM orders WHERE tenant_id = '01a1fb3e-b7ce-7677-ad2f-c29f3bd980d4'::uuid AND status IN ('open', 'paid');
SELECT * FROM orders WHERE tenant_id = CAST($1 AS uuid);
SELECT * FROM orders WHERE tenant_id::text = $1;
SELECT * FROM orders WHERE tenant_id IS NOT DISTINCT FROM $1;
SELECT * FROM orders WHERE tenant_id IN ($1);
SELECT * FROM orders WHERE tenant_id = ANY(ARRAY[$1]);
SELECT * FROM orders WHERE tenant_id IN ($1, $1);
SELECT * FROM orders WHERE (tenant_id, id) = ($1, $2);
SELECT * FROM orders WHERE (tenant_id, id) IN (($1, $2), ($1, $3), ($1, $4));
SELECT * FROM orders WHERE (tenant_id = $1) IS TRUE;
SELECT * FROM orders WHERE tenant_id = coalesce($1, $2)::uuid;
SELECT * FROM orders WHERE tenant_id = uuid(lower($1));
SELECT * FROM orders WHERE tenant_id = $1 AND (status = 'open' OR customer_id = $2 OR note IS NULL);
SELECT * FROM orders WHERE (tenant_id = $1 AND status = 'open') OR (tenant_id = $1 AND total > 100);
SELECT * FROM orders WHERE (tenant_id = $1 OR (tenant_id = $2 AND status = 'shared'));
SELECT * FROM orders WHERE tenant_id = $1 AND NOT (status = 'void') AND total BETWEEN 10 AND 20;
SELECT * FROM ONLY orders WHERE tenant_id = $1;
SELECT * FROM "orders" AS "o" WHERE "o"."tenant_id" = $1;
SELECT * FROM public.orders WHERE public.orders.tenant_id = $1;
SELECT * FROM ORDERS WHERE Tenant_Id = $1;
SELECT * FROM events_2026 WHERE tenant_id = $1 AND at > now() - interval '1 hour';
SELECT count(*) FILTER (WHERE status = 'open') AS open, count(*) AS total FROM orders WHERE tenant_id = $1;
SELECT * FROM orders TABLESAMPLE SYSTEM (10) WHERE tenant_id = $1;
SELECT * FROM orders WHERE tenant_id = $1 FOR UPDATE;
SELECT o.id FROM orders o WHERE o.tenant_id = $1 FOR NO KEY UPDATE OF o NOWAIT;
SELECT id FROM jobs WHERE tenant_id = $1 AND queue = $2 AND locked_by IS NULL ORDER BY run_at FOR UPDATE SKIP LOCKED LIMIT 10;
SELECT code, name FROM countries ORDER BY name;
SELECT 1;
SELECT now(), version(), current_database();
VALUES (1, 'a'), (2, 'b');
SELECT relname FROM pg_class WHERE relkind = 'r';
SELECT table_name FROM information_schema.tables WHERE table_schema = 'app';
SELECT * FROM generate_series(1, 10) AS n;
SELECT day::date FROM generate_series($1::date, $2::date, '1 day') AS day;

-- Joins.

SELECT o.number, c.name FROM orders o JOIN customers c ON c.tenant_id = o.tenant_id AND c.id = o.customer_id WHERE o.tenant_id = $1;
SELECT o.number, c.name FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.tenant_id = $1 AND c.tenant_id = $1;
SELECT o.number, c.name FROM orders o, customers c WHERE o.tenant_id = $1 AND c.tenant_id = o.tenant_id AND c.id = o.customer_id;
SELECT number, name FROM orders JOIN customers USING (tenant_id) WHERE tenant_id = $1 AND customers.id = customer_id;
SELECT * FROM orders o JOIN customers c USING (tenant_id) WHERE c.tenant_id = $1;
SELECT * FROM usage_daily NATURAL JOIN (SELECT tenant_id, max(day) AS day FROM usage_daily WHERE tenant_id = $1 GROUP BY tenant_id) latest;
SELECT c.name, o.number FROM customers c LEFT JOIN orders o ON o.tenant_id = c.tenant_id AND o.customer_id = c.id WHERE c.tenant_id = $1;
SELECT c.name, o.number FROM customers c LEFT JOIN orders o ON o.tenant_id = $1 AND o.customer_id = c.id WHERE c.tenant_id = $1;
SELECT c.name FROM customers c LEFT JOIN orders o ON o.tenant_id = c.tenant_id AND o.customer_id = c.id WHERE o.tenant_id = $1;
SELECT c.name FROM customers c LEFT JOIN orders o USING (tenant_id) WHERE tenant_id = $1 AND o.id IS NULL;
SELECT c.name, o.number FROM orders o RIGHT JOIN customers c ON o.tenant_id = c.tenant_id AND o.customer_id = c.id WHERE c.tenant_id = $1;
SELECT * FROM orders o FULL JOIN customers c USING (tenant_id) WHERE tenant_id = $1;
SELECT * FROM (SELECT * FROM orders WHERE tenant_id = $1) o FULL JOIN (SELECT * FROM customers WHERE tenant_id = $1) c ON c.id = o.customer_id;
SELECT i.quantity, p.name, c.email FROM order_items i JOIN orders o ON o.tenant_id = i.tenant_id AND o.id = i.order_id JOIN products p ON p.tenant_id = i.tenant_id AND p.id = i.product_id JOIN customers c ON c.tenant_id = o.tenant_id AND c.id = o.customer_id WHERE i.tenant_id = $1;
SELECT i.* FROM order_items i JOIN (orders o JOIN customers c ON c.tenant_id = o.tenant_id AND c.id = o.customer_id) ON o.tenant_id = i.tenant_id AND o.id = i.order_id WHERE c.tenant_id = $1;
SELECT j.number FROM (orders o JOIN customers c ON c.tenant_id = o.tenant_id) AS j (t, i, cid, number) JOIN users u ON u.tenant_id = j.t WHERE u.tenant_id = $1;
SELECT o.id, y.name FROM orders o LEFT JOIN customers c ON c.tenant_id = o.tenant_id AND c.id = o.customer_id LEFT JOIN countries y ON y.code = c.country_code WHERE o.tenant_id = $1;
SELECT a.title, b.title FROM tasks a JOIN tasks b ON b.tenant_id = a.tenant_id AND b.project_id = a.project_id AND b.position = a.position + 1 WHERE a.tenant_id = $1;
SELECT p.name, x.code FROM products p CROSS JOIN currencies x WHERE p.tenant_id = $1;
SELECT t.title, u.email FROM tasks t LEFT JOIN users u ON (u.tenant_id, u.id) = (t.tenant_id, t.assignee_id) WHERE t.tenant_id = $1;
SELECT * FROM orders o JOIN (VALUES ($1::uuid)) AS me (tenant_id) ON o.tenant_id = me.tenant_id;
SELECT * FROM orders o JOIN (SELECT $1::uuid AS tenant) me ON me.tenant = o.tenant_id;
SELECT * FROM orders o, current_setting('app.tenant_id') AS me WHERE o.tenant_id = me::uuid;
SELECT o.* FROM customers c LEFT JOIN orders o ON o.tenant_id = c.tenant_id AND o.customer_id = c.id JOIN order_items i ON i.tenant_id = o.tenant_id AND i.order_id = o.id WHERE i.tenant_id = $1;

-- LATERAL.

SELECT c.name, l.number FROM customers c CROSS JOIN LATERAL (SELECT number FROM orders o WHERE o.tenant_id = c.tenant_id AND o.customer_id = c.id ORDER BY created_at DESC LIMIT 3) l WHERE c.tenant_id = $1;
SELECT c.name, l.number FROM customers c LEFT JOIN LATERAL (SELECT number FROM orders WHERE tenant_id = $1 AND customer_id = c.id ORDER BY created_at DESC LIMIT 1) l ON true WHERE c.tenant_id = $1;
SELECT p.sku, t.tag FROM products p, unnest(p.tags) AS t (tag) WHERE p.tenant_id = $1;
SELECT p.sku, d.key, d.value FROM products p CROSS JOIN LATERAL jsonb_each_text(p.data) AS d WHERE p.tenant_id = $1;
SELECT o.id, x.n FROM orders o, LATERAL (SELECT count(*) AS n FROM order_items i WHERE (i.tenant_id, i.order_id) = (o.tenant_id, o.id)) x WHERE o.tenant_id = $1 AND x.n > 5;
SELECT e.id, r.a FROM events e, ROWS FROM (jsonb_to_record(e.data) AS (a int)) AS r WHERE e.tenant_id = $1;
SELECT jt.* FROM products p, JSON_TABLE(p.data, '$.variants[*]' COLUMNS (sku text PATH '$.sku')) AS jt WHERE p.tenant_id = $1;

-- Sub-queries.

SELECT name FROM customers WHERE tenant_id = $1 AND id IN (SELECT customer_id FROM orders WHERE tenant_id = $1 AND status = 'open');
SELECT c.name FROM customers c WHERE c.tenant_id = $1 AND EXISTS (SELECT 1 FROM orders o WHERE o.tenant_id = c.tenant_id AND o.customer_id = c.id);
SELECT c.name FROM customers c WHERE c.tenant_id = $1 AND NOT EXISTS (SELECT FROM orders o WHERE o.tenant_id = c.tenant_id AND o.customer_id = c.id);
SELECT c.name FROM customers c WHERE EXISTS (SELECT 1 FROM orders o WHERE o.tenant_id = c.tenant_id AND o.customer_id = c.id AND o.tenant_id = $1);
SELECT name FROM customers WHERE (tenant_id, id) IN (SELECT tenant_id, customer_id FROM orders WHERE tenant_id = $1);
SELECT name FROM customers WHERE tenant_id = $1 AND (tenant_id, id) IN (SELECT tenant_id, customer_id FROM orders WHERE status = 'open');
SELECT name FROM customers c WHERE tenant_id = $1 AND id NOT IN (SELECT customer_id FROM orders o WHERE o.tenant_id = c.tenant_id);
SELECT c.name, (SELECT count(*) FROM orders o WHERE o.tenant_id = c.tenant_id AND o.customer_id = c.id) AS orders FROM customers c WHERE c.tenant_id = $1;
SELECT c.name, ARRAY(SELECT number FROM orders o WHERE o.tenant_id = c.tenant_id AND o.customer_id = c.id ORDER BY number) FROM customers c WHERE c.tenant_id = $1;
SELECT * FROM (SELECT * FROM orders) o WHERE o.tenant_id = $1;
SELECT * FROM (SELECT * FROM orders WHERE tenant_id = $1 ORDER BY created_at DESC LIMIT 10) latest ORDER BY total;
SELECT * FROM (SELECT tenant_id, customer_id, sum(total) AS total FROM orders GROUP BY tenant_id, customer_id) s WHERE s.tenant_id = $1 AND s.total > 1000;
SELECT * FROM (SELECT tenant_id AS owner, id FROM orders) x (t, i) WHERE x.t = $1;
SELECT * FROM (SELECT tenant_id, id, row_number() OVER (PARTITION BY tenant_id, customer_id ORDER BY created_at DESC) AS n FROM orders) r WHERE r.tenant_id = $1 AND r.n = 1;
SELECT * FROM (SELECT o.*, rank() OVER w FROM orders o WINDOW w AS (PARTITION BY o.tenant_id ORDER BY total)) r WHERE r.tenant_id = $1;
SELECT DISTINCT ON (customer_id) customer_id, total FROM orders WHERE tenant_id = $1 ORDER BY customer_id, created_at DESC;
SELECT * FROM orders WHERE tenant_id = $1 AND total > (SELECT avg(total) FROM orders WHERE tenant_id = $1);
SELECT * FROM orders WHERE tenant_id = $1 AND total > ALL (SELECT price FROM products p WHERE p.tenant_id = orders.tenant_id);
SELECT json_build_object('id', o.id, 'items', (SELECT json_agg(i) FROM order_items i WHERE i.tenant_id = o.tenant_id AND i.order_id = o.id)) FROM orders o WHERE o.tenant_id = $1;
SELECT CASE WHEN EXISTS (SELECT 1 FROM orders WHERE tenant_id = $1) THEN 'yes' ELSE 'no' END;
SELECT coalesce((SELECT name FROM customers WHERE tenant_id = $1 AND id = $2), 'nobody');
SELECT * FROM orders WHERE tenant_id = (SELECT t.id FROM accounts.tenants t WHERE t.tenant_id = $1 AND t.slug = $2) AND tenant_id = $1;
SELECT tenant_id, status, count(*) FROM orders GROUP BY tenant_id, status HAVING tenant_id = $1;
SELECT status, count(*) FROM orders WHERE tenant_id = $1 GROUP BY ROLLUP (status) HAVING count(*) > 1 ORDER BY 2 DESC;

-- Common table expressions.

WITH recent AS (SELECT * FROM orders WHERE tenant_id = $1 AND created_at > now() - interval '1 day') SELECT count(*) FROM recent;
WITH recent AS (SELECT * FROM orders) SELECT count(*) FROM recent WHERE tenant_id = $1;
WITH o AS (SELECT * FROM orders) SELECT a.id FROM o a JOIN o b ON b.tenant_id = a.tenant_id AND b.customer_id = a.customer_id WHERE a.tenant_id = $1;
WITH me AS (SELECT $1::uuid AS tenant_id) SELECT o.* FROM orders o JOIN me USING (tenant_id);
WITH me AS (SELECT current_setting('app.tenant_id')::uuid AS id), o AS (SELECT * FROM orders WHERE tenant_id = (SELECT id FROM me)) SELECT count(*) FROM o;
WITH me (tenant) AS (VALUES ($1::uuid)) SELECT c.name FROM customers c, me WHERE c.tenant_id = me.tenant;
WITH RECURSIVE tree AS (SELECT id, parent_id, tenant_id FROM projects WHERE tenant_id = $1 AND parent_id IS NULL UNION ALL SELECT p.id, p.parent_id, p.tenant_id FROM projects p JOIN tree t ON p.tenant_id = t.tenant_id AND p.parent_id = t.id) SELECT * FROM tree;
WITH RECURSIVE tree (id, depth) AS (SELECT id, 0 FROM projects WHERE tenant_id = $1 AND id = $2 UNION ALL SELECT p.id, depth + 1 FROM projects p, tree WHERE p.parent_id = tree.id AND p.tenant_id = $1 AND depth < 10) SELECT id FROM tree ORDER BY depth;
WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 10) SELECT i FROM n;
WITH RECURSIVE up AS (SELECT p.* FROM projects p WHERE p.tenant_id = $1 AND p.id = $2 UNION SELECT p.* FROM projects p JOIN up ON p.tenant_id = up.tenant_id AND p.id = up.parent_id) SELECT name FROM up;
WITH gone AS (DELETE FROM jobs WHERE tenant_id = $1 AND run_at < now() RETURNING id) SELECT count(*) FROM gone;
WITH picked AS (SELECT tenant_id, id FROM jobs WHERE tenant_id = $1 ORDER BY run_at FOR UPDATE SKIP LOCKED LIMIT 5) UPDATE jobs j SET locked_by = $2 FROM picked p WHERE j.tenant_id = p.tenant_id AND j.id = p.id RETURNING j.*;
WITH moved AS (DELETE FROM jobs WHERE tenant_id = $1 AND attempts > 5 RETURNING *) INSERT INTO outbox (tenant_id, id, topic, payload) SELECT tenant_id, id, 'dead', payload FROM moved;
WITH new AS (INSERT INTO orders (tenant_id, id, customer_id) VALUES ($1, $2, $3) RETURNING tenant_id, id) INSERT INTO outbox (tenant_id, topic, payload) SELECT tenant_id, 'created', jsonb_build_object('id', id) FROM new;
WITH a AS MATERIALIZED (SELECT customer_id, sum(total) AS total FROM orders WHERE tenant_id = $1 GROUP BY 1), b AS (SELECT * FROM a ORDER BY total DESC LIMIT 10) SELECT c.name, b.total FROM b JOIN customers c ON c.tenant_id = $1 AND c.id = b.customer_id;
WITH orders AS (SELECT * FROM public.orders WHERE tenant_id = $1) SELECT count(*) FROM orders;
WITH days AS (SELECT generate_series($2::date, $3::date, '1 day')::date AS day) SELECT d.day, coalesce(sum(u.amount), 0) FROM days d LEFT JOIN usage_daily u ON u.tenant_id = $1 AND u.day = d.day GROUP BY d.day ORDER BY d.day;
WITH RECURSIVE t AS (SELECT id, parent_id FROM projects WHERE tenant_id = $1) SEARCH DEPTH FIRST BY id SET o SELECT * FROM t;

-- Set operations.

SELECT id, title FROM tasks WHERE tenant_id = $1 UNION ALL SELECT id, name FROM projects WHERE tenant_id = $1 ORDER BY 2 LIMIT 20;
SELECT * FROM (SELECT tenant_id, email FROM users UNION SELECT tenant_id, email FROM customers) people WHERE people.tenant_id = $1;
(SELECT email FROM users WHERE tenant_id = $1) EXCEPT (SELECT email FROM customers WHERE tenant_id = $1);
SELECT email FROM users WHERE tenant_id = $1 INTERSECT SELECT email FROM customers WHERE tenant_id = $1;
SELECT * FROM (SELECT 'task' AS kind, tenant_id, id FROM tasks UNION ALL SELECT 'project', tenant_id, id FROM projects UNION ALL SELECT 'order', tenant_id, id FROM orders) everything WHERE tenant_id = $1;
WITH feed AS (SELECT tenant_id, created_at AS at, body AS text FROM comments UNION ALL SELECT tenant_id, at, kind FROM events) SELECT * FROM feed WHERE tenant_id = $1 ORDER BY at DESC LIMIT 50;

-- Reports.

SELECT date_trunc('month', created_at) AS month, count(*), sum(total), avg(total) FROM orders WHERE tenant_id = $1 GROUP BY 1 ORDER BY 1;
SELECT day, amount, sum(amount) OVER (ORDER BY day) AS running, lag(amount) OVER (ORDER BY day) FROM usage_daily WHERE tenant_id = $1 AND meter = $2;
SELECT meter, percentile_cont(0.95) WITHIN GROUP (ORDER BY amount) FROM usage_daily WHERE tenant_id = $1 GROUP BY meter;
SELECT p.name, sum(i.quantity * i.price) AS revenue, rank() OVER (ORDER BY sum(i.quantity * i.price) DESC) FROM order_items i JOIN products p USING (tenant_id) WHERE tenant_id = $1 AND p.id = i.product_id GROUP BY p.id, p.name;
SELECT coalesce(status, 'all'), count(*) FROM orders WHERE tenant_id = $1 GROUP BY GROUPING SETS ((status), ());
SELECT string_agg(DISTINCT u.email, ', ' ORDER BY u.email) FROM users u JOIN tasks t ON t.tenant_id = u.tenant_id AND t.assignee_id = u.id WHERE u.tenant_id = $1;
SELECT width_bucket(total, 0, 1000, 10) AS bucket, count(*) FROM orders WHERE tenant_id = current_setting('app.tenant_id')::uuid GROUP BY bucket;
WITH cohort AS (SELECT id, date_trunc('month', created_at) AS month FROM customers WHERE tenant_id = $1), activity AS (SELECT DISTINCT customer_id, date_trunc('month', created_at) AS month FROM orders WHERE tenant_id = $1) SELECT c.month, a.month, count(*) FROM cohort c JOIN activity a ON a.customer_id = c.id GROUP BY 1, 2;

-- Inserts.

INSERT INTO orders (tenant_id, id, customer_id, number, status) VALUES ($1, $2, $3, $4, 'open');
INSERT INTO orders (id, customer_id) VALUES ($1, $2);
INSERT INTO orders DEFAULT VALUES;
INSERT INTO orders (tenant_id, id) VALUES (DEFAULT, $1);
INSERT INTO orders (tenant_id, id) VALUES ($1, $2), ($1, $3), ($1, $4) RETURNING id;
INSERT INTO orders (tenant_id, id) VALUES (tenantry.current_tenant(), gen_random_uuid());
INSERT INTO usage_daily VALUES ($1, $2, $3, $4);
INSERT INTO order_items (tenant_id, id, order_id) SELECT tenant_id, gen_random_uuid(), $2 FROM order_items WHERE tenant_id = $1 AND order_id = $3;
INSERT INTO order_items (tenant_id, id) SELECT $1, id FROM unnest($2::uuid[]) AS id;
INSERT INTO tasks (tenant_id, id, title) SELECT p.tenant_id, gen_random_uuid(), 'Start ' || p.name FROM projects p WHERE p.tenant_id = $1;
INSERT INTO users (tenant_id, id, email) SELECT $1, r.id, r.email FROM jsonb_to_recordset($2) AS r (id uuid, email text) ON CONFLICT DO NOTHING;
INSERT INTO customers (tenant_id, id, email) VALUES ($1, $2, $3) ON CONFLICT (tenant_id, email) DO UPDATE SET name = excluded.name;
INSERT INTO customers (tenant_id, id, email) VALUES ($1, $2, $3) ON CONFLICT (tenant_id, email) DO UPDATE SET name = excluded.name WHERE customers.name IS NULL RETURNING id, (xmax = 0) AS inserted;
INSERT INTO usage_daily (tenant_id, day, meter, amount) VALUES ($1, $2, $3, $4) ON CONFLICT (tenant_id, day, meter) DO UPDATE SET amount = usage_daily.amount + excluded.amount;
INSERT INTO usage_daily AS u (tenant_id, day, meter, amount) VALUES ($1, $2, $3, $4) ON CONFLICT ON CONSTRAINT usage_daily_pkey DO UPDATE SET amount = u.amount + excluded.amount;
INSERT INTO products (tenant_id, id, sku) VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET sku = excluded.sku WHERE products.tenant_id = excluded.tenant_id;
INSERT INTO products (tenant_id, sku) VALUES ($1, $2) ON CONFLICT (tenant_id, sku) WHERE stock > 0 DO NOTHING;
INSERT INTO orders (tenant_id, customer_id, id) VALUES ($1, (SELECT id FROM customers WHERE tenant_id = $1 AND email = $2), $3);
INSERT INTO countries (code, name) VALUES ('EE', 'Estonia') ON CONFLICT (code) DO UPDATE SET name = excluded.name;
INSERT INTO outbox (tenant_id, topic) OVERRIDING SYSTEM VALUE VALUES ($1, 'a');

-- Updates and deletes.

UPDATE orders SET status = 'paid' WHERE tenant_id = $1 AND id = $2;
UPDATE orders AS o SET status = 'paid', note = $3 WHERE o.tenant_id = $1 AND o.id = $2 RETURNING o.*;
UPDATE orders SET total = s.total FROM (SELECT order_id, sum(price * quantity) AS total FROM order_items WHERE tenant_id = $1 GROUP BY order_id) s WHERE orders.tenant_id = $1 AND orders.id = s.order_id;
UPDATE orders o SET status = 'late' FROM customers c WHERE c.tenant_id = o.tenant_id AND c.id = o.customer_id AND c.tenant_id = $1;
UPDATE products SET stock = stock - i.quantity FROM order_items i WHERE i.tenant_id = products.tenant_id AND i.product_id = products.id AND i.tenant_id = $1 AND i.order_id = $2;
UPDATE products SET (name, price) = ($3, $4) WHERE tenant_id = $1 AND id = $2;
UPDATE products SET (name, price) = (SELECT p.name, p.price FROM products p WHERE p.tenant_id = $1 AND p.sku = $2) WHERE tenant_id = $1 AND id = $3;
UPDATE products p SET price = v.price FROM (VALUES ($2::uuid, $3::numeric), ($4, $5)) AS v (id, price) WHERE p.tenant_id = $1 AND p.id = v.id;
UPDATE jobs SET locked_by = $2, attempts = attempts + 1 WHERE tenant_id = $1 AND id = (SELECT id FROM jobs WHERE tenant_id = $1 AND locked_by IS NULL ORDER BY run_at FOR UPDATE SKIP LOCKED LIMIT 1) RETURNING *;
UPDATE jobs SET attempts = 0 WHERE (tenant_id, id) IN (SELECT tenant_id, id FROM jobs WHERE tenant_id = $1 ORDER BY run_at LIMIT 100);
UPDATE customers SET settings = jsonb_set(settings, '{theme}', to_jsonb($3::text)) WHERE tenant_id = $1 AND id = $2;
UPDATE countries SET name = 'Türkiye' WHERE code = 'TR';
DELETE FROM comments WHERE tenant_id = $1 AND task_id = $2;
DELETE FROM order_items i USING orders o WHERE o.tenant_id = i.tenant_id AND o.id = i.order_id AND o.tenant_id = $1 AND o.status = 'void';
DELETE FROM jobs WHERE tenant_id = $1 AND ctid IN (SELECT ctid FROM jobs WHERE tenant_id = $1 LIMIT 1000);
DELETE FROM events WHERE tenant_id = $1 AND at < now() - interval '90 days' RETURNING id;
DELETE FROM tasks t WHERE t.tenant_id = tenantry.current_tenant() AND NOT EXISTS (SELECT 1 FROM projects p WHERE p.tenant_id = t.tenant_id AND p.id = t.project_id);

-- MERGE.

MERGE INTO products p USING (SELECT $1::uuid AS tenant_id, $2::uuid AS id, $3::int AS stock) v ON p.tenant_id = v.tenant_id AND p.id = v.id WHEN MATCHED THEN UPDATE SET stock = v.stock WHEN NOT MATCHED THEN INSERT (tenant_id, id, stock) VALUES (v.tenant_id, v.id, v.stock);
MERGE INTO usage_daily u USING (SELECT $1::uuid AS tenant_id, day, meter, sum(amount) AS amount FROM jsonb_to_recordset($2) AS r (day date, meter text, amount bigint) GROUP BY day, meter) s ON u.tenant_id = s.tenant_id AND u.day = s.day AND u.meter = s.meter WHEN MATCHED AND s.amount = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET amount = s.amount WHEN NOT MATCHED THEN INSERT (tenant_id, day, meter, amount) VALUES (s.tenant_id, s.day, s.meter, s.amount);
MERGE INTO products p USING order_items i ON p.tenant_id = i.tenant_id AND p.id = i.product_id AND i.tenant_id = $1 WHEN MATCHED THEN UPDATE SET stock = p.stock - i.quantity;
MERGE INTO products p USING (SELECT $1::uuid AS id) v ON p.tenant_id = $2 AND p.id = v.id WHEN MATCHED THEN DELETE;

-- Queries inside of other statements.

COPY (SELECT id, number, total FROM orders WHERE tenant_id = $1) TO STDOUT WITH (FORMAT csv, HEADER);
COPY countries FROM STDIN;
\.
\copy (SELECT * FROM customers WHERE tenant_id = :'tenant') to 'customers.csv' csv header
TRUNCATE countries;
DECLARE c NO SCROLL CURSOR FOR SELECT * FROM orders WHERE tenant_id = $1;
FETCH 100 FROM c;
CLOSE c;
BEGIN;
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SAVEPOINT a;
COMMIT;
SET LOCAL statement_timeout = '5s';
SET TRANSACTION READ ONLY;
SHOW search_path;
SELECT pg_advisory_xact_lock(hashtextextended(tenantry.current_tenant()::text || 'invoice', 0));
CREATE FUNCTION open_orders(p_tenant uuid) RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT count(*) FROM orders WHERE tenant_id = p_tenant AND status = 'open' $$;
CREATE FUNCTION open_orders(uuid) RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT count(*) FROM orders WHERE tenant_id = $1 $$;
CREATE FUNCTION order_total(p_id uuid) RETURNS numeric BEGIN ATOMIC SELECT total FROM orders WHERE tenant_id = tenantry.current_tenant() AND id = p_id; END;
CREATE FUNCTION void_order(p_tenant uuid, p_id uuid) RETURNS void LANGUAGE plpgsql AS $$ DECLARE v_total numeric; BEGIN SELECT total INTO v_total FROM orders WHERE tenant_id = p_tenant AND id = p_id; IF v_total > 0 THEN UPDATE orders SET status = 'void' WHERE tenant_id = p_tenant AND id = p_id; END IF; END $$;
CREATE FUNCTION log_order() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO outbox (tenant_id, topic, payload) VALUES (NEW.tenant_id, 'order', to_jsonb(NEW)); NEW.note := coalesce(NEW.note, ''); RETURN NEW; END $$;
CREATE PROCEDURE close_day(p_tenant uuid) LANGUAGE plpgsql AS $$ DECLARE r record; BEGIN FOR r IN SELECT id FROM orders WHERE tenant_id = p_tenant LOOP UPDATE order_items SET quantity = 0 WHERE tenant_id = p_tenant AND order_id = r.id; END LOOP; END $$;

-- Recursions that stay with their tenant.

WITH RECURSIVE tree(tid, id) AS (SELECT $1::uuid, $2::uuid UNION ALL SELECT p.tenant_id, p.id FROM projects p JOIN tree ON p.tenant_id = tree.tid AND p.parent_id = tree.id) SELECT id FROM tree;
WITH RECURSIVE tree(tid, id) AS (SELECT $1::uuid, $2::uuid UNION ALL SELECT tree.tid, p.id FROM projects p JOIN tree ON p.tenant_id = tree.tid AND p.parent_id = tree.id) SELECT p.name FROM tree JOIN projects p ON p.tenant_id = tree.tid AND p.id = tree.id;
WITH RECURSIVE up AS (SELECT * FROM ledger_entries WHERE tenant_id = $1 UNION ALL SELECT e.* FROM ledger_entries e JOIN up ON e.tenant_id = up.tenant_id) SELECT * FROM up;
SELECT c.name, x.id FROM customers c CROSS JOIN LATERAL (WITH RECURSIVE t(tid, id) AS (SELECT c.tenant_id, c.id UNION ALL SELECT p.tenant_id, p.id FROM projects p JOIN t ON p.tenant_id = t.tid AND p.parent_id = t.id) SELECT id FROM t) x WHERE c.tenant_id = $1;
WITH RECURSIVE a(tid) AS (SELECT $1::uuid UNION SELECT a.tid FROM a), b(tid, id) AS (SELECT a.tid, NULL::uuid FROM a UNION ALL SELECT p.tenant_id, p.id FROM projects p JOIN b ON p.tenant_id = b.tid) SELECT * FROM b;

-- Columns under other names, where the tenant's is still the one that is compared.

SELECT * FROM users AS c(t, a) WHERE c.t = $1;
SELECT c.a, o.number FROM orders o LEFT JOIN users AS c(t, a) ON c.t = o.tenant_id AND c.a = o.customer_id WHERE o.tenant_id = $1;
WITH u AS (SELECT tenant_id, id FROM users) SELECT * FROM u AS x(t, a) WHERE x.t = $1;
WITH u AS (SELECT tenant_id, id FROM users) SELECT * FROM u AS x(t, a) JOIN u ON u.tenant_id = x.t WHERE x.t = $1;
CREATE VIEW v_named(tenant_id, number) WITH (security_invoker) AS SELECT tenant_id, id FROM orders; SELECT number FROM v_named WHERE tenant_id = $1;

-- One tenant that a shared table knows.

SELECT * FROM users u WHERE u.tenant_id = (SELECT c.code::uuid FROM countries c WHERE c.name = $1);
SELECT * FROM users u WHERE u.tenant_id = (SELECT c.code::uuid AS name FROM countries c WHERE starts_with(c.name, $1) ORDER BY name LIMIT 1);
SELECT * FROM users u WHERE u.tenant_id = (SELECT code::uuid FROM countries WHERE lower(name) ~ $1 ORDER BY length(name) DESC LIMIT 1);

-- The same tenant twice.

SELECT * FROM orders o WHERE o.tenant_id IN (SELECT $1::uuid UNION ALL SELECT $1);
SELECT o.id FROM orders o JOIN (SELECT :t::uuid AS t, 'a' AS kind UNION ALL SELECT :t, 'b') v ON o.tenant_id = v.t;
SELECT o.id FROM orders o JOIN (SELECT tenantry.current_tenant() AS t UNION SELECT (SELECT tenantry.current_tenant())) v ON o.tenant_id = v.t AND o.tenant_id = tenantry.current_tenant();
SELECT * FROM orders WHERE tenant_id IN (%(t)s, %(t)s);
SELECT * FROM orders WHERE tenant_id OPERATOR(pg_catalog.=) $1;

-- Bodies and what they may do.

CREATE FUNCTION touch_order(p_tenant uuid, p_id uuid) RETURNS void LANGUAGE plpgsql AS $$ DECLARE n int := 0; BEGIN UPDATE orders SET note = 'x' WHERE tenant_id = p_tenant AND id = p_id; GET DIAGNOSTICS n = ROW_COUNT; IF n = 0 THEN RAISE EXCEPTION 'no order %', p_id; END IF; END $$;
CREATE FUNCTION total_of(p_tenant uuid) RETURNS numeric LANGUAGE plpgsql AS $$ DECLARE t numeric; BEGIN EXECUTE 'SELECT sum(total) FROM orders WHERE tenant_id = $1' INTO t USING p_tenant; RETURN t; END $$;
CREATE FUNCTION set_wait() RETURNS void LANGUAGE sql AS $$ SET LOCAL statement_timeout = '5s'; $$;
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.created_at := now(); RETURN NEW; END $$;

-- What stays behind the door.

CREATE PUBLICATION feed FOR TABLE countries, orders WHERE (tenant_id = '01a1fb3e-b7ce-7677-ad2f-c29f3bd980d4' AND status = 'open');
ALTER PUBLICATION feed DROP TABLE orders;
ALTER VIEW v_orders SET (security_invoker = true);
CREATE SCHEMA reports CREATE TABLE kept (tenant_id uuid NOT NULL, id uuid NOT NULL, PRIMARY KEY (tenant_id, id)) CREATE INDEX kept_id ON kept (id);
GRANT reporting TO app;
INSERT INTO customers (tenant_id, id, email) VALUES ($1, $2, $3) ON CONFLICT ON CONSTRAINT customers_tenant_id_email_key DO UPDATE SET name = excluded.name;
