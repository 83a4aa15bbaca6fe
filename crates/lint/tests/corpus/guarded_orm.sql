-- Statements in the forms that object-relational mappers send, bound to a tenant: none of them is found.

-- Django.

SELECT "orders"."tenant_id", "orders"."id", "orders"."number" FROM "orders" WHERE "orders"."tenant_id" = %s ORDER BY "orders"."created_at" DESC LIMIT 25;
SELECT "orders"."id" FROM "orders" WHERE ("orders"."tenant_id" = %s AND "orders"."id" = %s) LIMIT 21;
SELECT COUNT(*) AS "__count" FROM "orders" WHERE "orders"."tenant_id" = %s;
SELECT 1 AS "a" FROM "customers" WHERE ("customers"."email" = %s AND "customers"."tenant_id" = %s) LIMIT 1;
SELECT "orders"."id", "customers"."name" FROM "orders" INNER JOIN "customers" ON ("orders"."tenant_id" = "customers"."tenant_id" AND "orders"."customer_id" = "customers"."id") WHERE "orders"."tenant_id" = %s;
SELECT "tasks"."id", T3."email" FROM "tasks" LEFT OUTER JOIN "users" T3 ON ("tasks"."assignee_id" = T3."id" AND (T3."tenant_id" = ("tasks"."tenant_id"))) WHERE "tasks"."tenant_id" = %s;
SELECT "customers"."id", COUNT("orders"."id") AS "n" FROM "customers" LEFT OUTER JOIN "orders" ON ("customers"."id" = "orders"."customer_id" AND "customers"."tenant_id" = "orders"."tenant_id") WHERE "customers"."tenant_id" = %s GROUP BY "customers"."id" HAVING COUNT("orders"."id") > %s;
SELECT "customers"."id" FROM "customers" WHERE ("customers"."tenant_id" = %s AND EXISTS(SELECT 1 AS "a" FROM "orders" U0 WHERE (U0."customer_id" = ("customers"."id") AND U0."tenant_id" = %s) LIMIT 1));
SELECT "customers"."id" FROM "customers" WHERE ("customers"."tenant_id" = %s AND NOT (EXISTS(SELECT 1 AS "a" FROM "orders" U0 WHERE (U0."tenant_id" = "customers"."tenant_id" AND U0."customer_id" = ("customers"."id")) LIMIT 1)));
SELECT "products"."id" FROM "products" WHERE ("products"."tenant_id" = %s AND "products"."id" IN (SELECT U0."product_id" FROM "order_items" U0 WHERE U0."tenant_id" = %s));
SELECT "products"."id", (SELECT SUM(U0."quantity") AS "s" FROM "order_items" U0 WHERE (U0."product_id" = ("products"."id") AND U0."tenant_id" = ("products"."tenant_id")) GROUP BY U0."product_id") AS "sold" FROM "products" WHERE "products"."tenant_id" = %s;
SELECT "users"."id" FROM "users" WHERE ("users"."tenant_id" = %s AND UPPER("users"."email"::text) LIKE UPPER(%s));
SELECT "users"."id" FROM "users" WHERE ("users"."tenant_id" = %s AND "users"."role" IN (%s, %s, %s)) ORDER BY "users"."email" ASC;
SELECT (1) AS "a" FROM "users" WHERE "users"."tenant_id" = %s LIMIT 1;
SELECT DISTINCT "orders"."status" FROM "orders" WHERE "orders"."tenant_id" = %(tenant)s;
SELECT "__col1", "__col2" FROM (SELECT "orders"."status" AS "__col1", COUNT(*) AS "__col2" FROM "orders" WHERE "orders"."tenant_id" = %s GROUP BY 1) subquery;
SELECT COUNT(*) FROM (SELECT "orders"."id" AS "col1" FROM "orders" WHERE "orders"."tenant_id" = %s ORDER BY "orders"."id" ASC LIMIT 100) subquery;
(SELECT "tasks"."id" AS "col1" FROM "tasks" WHERE "tasks"."tenant_id" = %s) UNION (SELECT "projects"."id" AS "col1" FROM "projects" WHERE "projects"."tenant_id" = %s) ORDER BY (1) ASC;
INSERT INTO "orders" ("tenant_id", "id", "customer_id", "number", "status", "created_at") VALUES (%s, %s, %s, %s, %s, %s) RETURNING "orders"."id";
INSERT INTO "tasks" ("tenant_id", "id", "title") VALUES (%s, %s, %s), (%s, %s, %s), (%s, %s, %s);
INSERT INTO "customers" ("tenant_id", "id", "email", "name") VALUES (%s, %s, %s, %s) ON CONFLICT("tenant_id", "email") DO UPDATE SET "name" = EXCLUDED."name";
UPDATE "orders" SET "status" = %s, "note" = %s WHERE ("orders"."tenant_id" = %s AND "orders"."id" = %s);
UPDATE "products" SET "stock" = ("products"."stock" - %s) WHERE ("products"."tenant_id" = %s AND "products"."id" IN (%s, %s));
UPDATE "tasks" SET "position" = (CASE WHEN ("tasks"."id" = %s) THEN %s WHEN ("tasks"."id" = %s) THEN %s ELSE NULL END)::integer WHERE ("tasks"."tenant_id" = %s AND "tasks"."id" IN (%s, %s));
DELETE FROM "comments" WHERE ("comments"."tenant_id" = %s AND "comments"."task_id" IN (%s));
SELECT "jobs"."id" FROM "jobs" WHERE ("jobs"."tenant_id" = %s AND "jobs"."locked_by" IS NULL) ORDER BY "jobs"."run_at" ASC LIMIT 1 FOR UPDATE SKIP LOCKED;
SELECT "projects"."id" FROM "projects" INNER JOIN "projects" T2 ON ("projects"."parent_id" = T2."id" AND "projects"."tenant_id" = T2."tenant_id") WHERE ("projects"."tenant_id" = %s AND T2."archived_at" IS NULL);

-- Rails.

SELECT "orders".* FROM "orders" WHERE "orders"."tenant_id" = $1 AND "orders"."id" = $2 LIMIT $3;
SELECT 1 AS one FROM "customers" WHERE "customers"."email" = $1 AND "customers"."tenant_id" = $2 LIMIT $3;
SELECT COUNT(*) FROM "orders" WHERE "orders"."tenant_id" = $1 AND "orders"."status" = $2;
SELECT "orders"."id" AS t0_r0, "customers"."id" AS t1_r0, "customers"."name" AS t1_r1 FROM "orders" LEFT OUTER JOIN "customers" ON "customers"."tenant_id" = "orders"."tenant_id" AND "customers"."id" = "orders"."customer_id" WHERE "orders"."tenant_id" = $1;
SELECT "order_items".* FROM "order_items" INNER JOIN "orders" ON "orders"."tenant_id" = "order_items"."tenant_id" AND "orders"."id" = "order_items"."order_id" WHERE "order_items"."tenant_id" = $1 AND "orders"."status" = 'paid';
SELECT DISTINCT "products".* FROM "products" INNER JOIN "order_items" ON "order_items"."product_id" = "products"."id" AND "order_items"."tenant_id" = "products"."tenant_id" WHERE "products"."tenant_id" = $1;
SELECT "comments".* FROM "comments" WHERE "comments"."tenant_id" = $1 AND "comments"."task_id" IN ($2, $3, $4);
SELECT "orders".* FROM "orders" WHERE ("orders"."tenant_id", "orders"."id") IN (($1, $2), ($1, $3));
SELECT "orders".* FROM "orders" WHERE ("orders"."tenant_id" = $1 AND "orders"."id" = $2 OR "orders"."tenant_id" = $1 AND "orders"."id" = $3);
SELECT "orders".* FROM "orders" WHERE "orders"."tenant_id" = $1 AND ("orders"."status" = $2 OR "orders"."status" = $3) ORDER BY "orders"."created_at" DESC LIMIT $4 OFFSET $5;
SELECT SUM("orders"."total") FROM "orders" WHERE "orders"."tenant_id" = $1 AND "orders"."created_at" BETWEEN $2 AND $3;
SELECT COUNT(*) AS "count_all", "orders"."status" AS "orders_status" FROM "orders" WHERE "orders"."tenant_id" = $1 GROUP BY "orders"."status";
SELECT "users"."email" FROM "users" WHERE "users"."tenant_id" = $1 AND "users"."id" NOT IN (SELECT "tasks"."assignee_id" FROM "tasks" WHERE "tasks"."tenant_id" = $2);
SELECT subquery.* FROM (SELECT "orders".* FROM "orders" WHERE "orders"."tenant_id" = $1) subquery WHERE subquery.status = $2;
INSERT INTO "orders" ("tenant_id", "customer_id", "status", "created_at") VALUES ($1, $2, $3, $4) RETURNING "tenant_id", "id";
INSERT INTO "usage_daily" ("tenant_id","day","meter","amount") VALUES ($1, $2, $3, $4), ($5, $6, $7, $8) ON CONFLICT ("tenant_id","day","meter") DO UPDATE SET "amount"=excluded."amount" RETURNING "tenant_id";
INSERT INTO "users" ("tenant_id","id","email") VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING "id";
UPDATE "orders" SET "status" = $1 WHERE "orders"."tenant_id" = $2 AND "orders"."id" = $3;
UPDATE "customers" SET "name" = 'x', "status" = 'active' WHERE "customers"."tenant_id" = '01a1fb3e-b7ce-7677-ad2f-c29f3bd980d4' AND "customers"."country_code" IS NULL;
UPDATE "products" SET "stock" = COALESCE("products"."stock", 0) + $1 WHERE "products"."tenant_id" = $2 AND "products"."id" = $3;
DELETE FROM "order_items" WHERE "order_items"."tenant_id" = $1 AND "order_items"."id" = $2;
DELETE FROM "comments" WHERE ("comments"."tenant_id", "comments"."id") IN (SELECT "comments"."tenant_id", "comments"."id" FROM "comments" INNER JOIN "tasks" ON "tasks"."tenant_id" = "comments"."tenant_id" AND "tasks"."id" = "comments"."task_id" WHERE "comments"."tenant_id" = $1 AND "tasks"."state" = $2);
SELECT "jobs".* FROM "jobs" WHERE "jobs"."tenant_id" = $1 ORDER BY "jobs"."run_at" ASC LIMIT $2 FOR UPDATE SKIP LOCKED;

-- Prisma.

SELECT "public"."orders"."id", "public"."orders"."total"::text FROM "public"."orders" WHERE ("public"."orders"."tenant_id" = $1 AND "public"."orders"."id" = $2 AND 1=1) LIMIT $3 OFFSET $4;
SELECT "public"."orders"."id" FROM "public"."orders" WHERE ("public"."orders"."tenant_id" = $1 AND ("public"."orders"."tenant_id","public"."orders"."customer_id") IN (SELECT "t1"."tenant_id", "t1"."id" FROM "public"."customers" AS "t1" WHERE ("t1"."status" = $2 AND "t1"."tenant_id" IS NOT NULL))) OFFSET $3;
SELECT "public"."orders"."id" FROM "public"."orders" LEFT JOIN "public"."customers" AS "j1" ON ("j1"."tenant_id","j1"."id") = ("public"."orders"."tenant_id","public"."orders"."customer_id") WHERE ("public"."orders"."tenant_id" = $1 AND ("j1"."name" ILIKE $2 AND ("j1"."id" IS NOT NULL))) OFFSET $3;
SELECT "public"."order_items"."id" FROM "public"."order_items" WHERE ("public"."order_items"."tenant_id","public"."order_items"."order_id") IN (($1,$2),($1,$3)) OFFSET $4;
SELECT COUNT(*) AS "_count$_all" FROM (SELECT "public"."orders"."id" FROM "public"."orders" WHERE "public"."orders"."tenant_id" = $1 OFFSET $2) AS "sub";
SELECT SUM("total"), "status" FROM "public"."orders" WHERE "public"."orders"."tenant_id" = $1 GROUP BY "public"."orders"."status" HAVING COUNT(*) > $2 ORDER BY "public"."orders"."status" ASC OFFSET $3;
SELECT "t0"."id", "t0"."name", "customers_orders"."__prisma_data__" AS "orders" FROM "public"."customers" AS "t0" LEFT JOIN LATERAL (SELECT COALESCE(JSONB_AGG("__prisma_data__"), '[]') AS "__prisma_data__" FROM (SELECT "t3"."__prisma_data__" FROM (SELECT JSONB_BUILD_OBJECT('id', "t2"."id") AS "__prisma_data__" FROM (SELECT "t1".* FROM "public"."orders" AS "t1" WHERE ("t0"."tenant_id", "t0"."id") = ("t1"."tenant_id", "t1"."customer_id")) AS "t2") AS "t3") AS "t4") AS "customers_orders" ON TRUE WHERE "t0"."tenant_id" = $1 LIMIT $2;
INSERT INTO "public"."orders" ("tenant_id","id","customer_id","number","status") VALUES ($1,$2,$3,$4,$5) RETURNING "public"."orders"."tenant_id", "public"."orders"."id";
INSERT INTO "public"."customers" ("tenant_id","id","email") VALUES ($1,$2,$3) ON CONFLICT ("tenant_id","email") DO UPDATE SET "name" = $4 WHERE ("public"."customers"."tenant_id" = $5 AND "public"."customers"."email" = $6 AND 1=1) RETURNING "public"."customers"."id";
UPDATE "public"."orders" SET "status" = $1 WHERE ("public"."orders"."tenant_id" = $2 AND "public"."orders"."id" = $3 AND 1=1);
UPDATE "public"."products" SET "stock" = ("public"."products"."stock" + $1) WHERE (("public"."products"."tenant_id", "public"."products"."id") IN (($2,$3)) AND ("public"."products"."tenant_id" = $2 AND 1=1));
DELETE FROM "public"."comments" WHERE ("public"."comments"."tenant_id" = $1 AND "public"."comments"."author_id" = $2);

-- SQLAlchemy.

SELECT orders.tenant_id, orders.id, orders.number FROM orders WHERE orders.tenant_id = %(tenant_id_1)s AND orders.id = %(id_1)s;
SELECT orders.id, customers_1.name FROM orders LEFT OUTER JOIN customers AS customers_1 ON customers_1.tenant_id = orders.tenant_id AND customers_1.id = orders.customer_id WHERE orders.tenant_id = %(tenant_id_1)s ORDER BY orders.created_at DESC LIMIT %(param_1)s;
SELECT anon_1.orders_id, order_items_1.quantity FROM (SELECT orders.tenant_id AS orders_tenant_id, orders.id AS orders_id FROM orders WHERE orders.tenant_id = %(tenant_id_1)s LIMIT %(param_1)s) AS anon_1 LEFT OUTER JOIN order_items AS order_items_1 ON anon_1.orders_tenant_id = order_items_1.tenant_id AND anon_1.orders_id = order_items_1.order_id;
SELECT orders_1.id, order_items.id FROM orders AS orders_1 JOIN order_items ON orders_1.tenant_id = order_items.tenant_id AND orders_1.id = order_items.order_id WHERE (orders_1.tenant_id, orders_1.id) IN ((%(a_1)s, %(b_1)s)) AND orders_1.tenant_id = :tenant;
SELECT count(*) AS count_1 FROM (SELECT tasks.id AS tasks_id FROM tasks WHERE tasks.tenant_id = :tenant_id_1) AS anon_1;
SELECT EXISTS (SELECT * FROM users WHERE users.tenant_id = :tenant_id_1 AND lower(users.email) = lower(:email_1)) AS anon_1;
SELECT tasks.id FROM tasks WHERE tasks.tenant_id = :tenant_id_1 AND (EXISTS (SELECT 1 FROM comments WHERE tasks.tenant_id = comments.tenant_id AND tasks.id = comments.task_id AND comments.body LIKE '%%' || :body_1 || '%%'));
WITH RECURSIVE tree(tenant_id, id, parent_id) AS (SELECT projects.tenant_id AS tenant_id, projects.id AS id, projects.parent_id AS parent_id FROM projects WHERE projects.tenant_id = :tenant_id_1 AND projects.id = :id_1 UNION ALL SELECT projects_1.tenant_id AS tenant_id, projects_1.id AS id, projects_1.parent_id AS parent_id FROM projects AS projects_1, tree WHERE projects_1.parent_id = tree.id AND projects_1.tenant_id = tree.tenant_id) SELECT tree.id FROM tree;
WITH anon_1 AS (SELECT orders.customer_id AS customer_id, max(orders.created_at) AS latest FROM orders WHERE orders.tenant_id = :tenant_id_1 GROUP BY orders.customer_id) SELECT customers.name, anon_1.latest FROM customers JOIN anon_1 ON anon_1.customer_id = customers.id WHERE customers.tenant_id = :tenant_id_2;
INSERT INTO orders (tenant_id, id, customer_id) VALUES (%(tenant_id)s, %(id)s, %(customer_id)s) RETURNING orders.created_at;
INSERT INTO usage_daily (tenant_id, day, meter, amount) VALUES (:tenant_id, :day, :meter, :amount) ON CONFLICT (tenant_id, day, meter) DO UPDATE SET amount = (usage_daily.amount + excluded.amount);
INSERT INTO tasks (tenant_id, id, title) SELECT p0::UUID, p1::UUID, p2::VARCHAR FROM (VALUES (%(tenant_id__0)s, %(id__0)s, %(title__0)s, 0)) AS imp_sen(p0, p1, p2, sen_counter) ORDER BY sen_counter RETURNING tasks.id;
UPDATE orders SET status=%(status)s::VARCHAR WHERE orders.tenant_id = %(orders_tenant_id)s::UUID AND orders.id = %(orders_id)s::UUID;
DELETE FROM comments WHERE comments.tenant_id = :tenant_id_1 AND comments.id = :id_1;

-- Hibernate, Ecto, Sequelize, jOOQ and drivers.

select o1_0.id,o1_0.number,c1_0.name from orders o1_0 join customers c1_0 on c1_0.tenant_id=o1_0.tenant_id and c1_0.id=o1_0.customer_id where o1_0.tenant_id=? and o1_0.status=? order by o1_0.created_at fetch first ? rows only;
insert into orders (customer_id,number,status,tenant_id,id) values (?,?,?,?,?);
update orders set note=?,status=? where tenant_id=? and id=?;
select t1_0.id from tasks t1_0 where t1_0.tenant_id=? and t1_0.project_id in (select p1_0.id from projects p1_0 where p1_0.tenant_id=? and p1_0.archived_at is null);
SELECT o0."id", o0."total" FROM "orders" AS o0 WHERE (o0."tenant_id" = $1) AND (o0."status" = ANY($2)) ORDER BY o0."created_at" DESC;
SELECT o0."id", c1."name" FROM "orders" AS o0 INNER JOIN "customers" AS c1 ON (c1."id" = o0."customer_id") AND (c1."tenant_id" = o0."tenant_id") WHERE (o0."tenant_id" = $1::uuid);
UPDATE "jobs" AS j0 SET "locked_by" = $1 FROM (SELECT sj0."id" AS "id", sj0."tenant_id" AS "tenant_id" FROM "jobs" AS sj0 WHERE (sj0."tenant_id" = $2) ORDER BY sj0."run_at" LIMIT $3 FOR UPDATE SKIP LOCKED) AS s1 WHERE (s1."id" = j0."id") AND (s1."tenant_id" = j0."tenant_id") RETURNING j0."id";
SELECT "Order"."id", "customer"."id" AS "customer.id" FROM "orders" AS "Order" LEFT OUTER JOIN "customers" AS "customer" ON "Order"."customer_id" = "customer"."id" AND "customer"."tenant_id" = 'a1' WHERE "Order"."tenant_id" = 'a1' LIMIT 20;
select "orders"."id", "alias_1"."v0" as "items" from "orders" join lateral (select coalesce(json_agg(json_build_array("t"."quantity")), json_build_array()) as "v0" from (select "order_items"."quantity" from "order_items" where ("order_items"."tenant_id" = "orders"."tenant_id" and "order_items"."order_id" = "orders"."id")) as "t") as "alias_1" on true where "orders"."tenant_id" = cast(? as uuid);
select "id", "email" from "users" where ("users"."tenant_id" = $1 and "users"."email" = $2) limit $3;
select "orders"."id", "orders_items"."data" as "items" from "orders" left join lateral (select coalesce(json_agg(json_build_array("orders_items"."id")), '[]'::json) as "data" from "order_items" "orders_items" where ("orders_items"."tenant_id" = "orders"."tenant_id" and "orders_items"."order_id" = "orders"."id")) "orders_items" on true where "orders"."tenant_id" = $1;
SELECT p.id FROM products p WHERE p.tenant_id = ? AND p.data ?? 'size' AND p.tags && ARRAY[?];
SELECT * FROM products WHERE tenant_id = $1 AND data ? 'size' AND data @> $2 AND tags && $3;
