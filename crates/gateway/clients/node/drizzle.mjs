// Drizzle on node-postgres.
import { and, asc, eq, like, ne, not, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";
import { bigint, jsonb, pgTable, primaryKey, text, timestamp, uuid } from "drizzle-orm/pg-core";
import pg from "pg";

import { LARGE_ROWS, LARGE_TEXT, Program, ROWS, URL_, fails, holds, own, same } from "./program.mjs";

const note = pgTable("note", {
  tenantId: uuid("tenant_id").notNull().default(sql`DEFAULT`),
  id: bigint("id", { mode: "number" }).generatedByDefaultAsIdentity(),
  body: text("body").notNull(),
  at: timestamp("at", { withTimezone: true }).notNull().defaultNow(),
  data: jsonb("data"),
}, (table) => [primaryKey({ columns: [table.tenantId, table.id] })]);

const program = new Program("drizzle", "drizzle-orm");
const MARK = program.mark;
const check = program.check.bind(program);
const pool = new pg.Pool({ connectionString: URL_, max: 4, connectionTimeoutMillis: 10_000 });
const db = drizzle({ client: pool, schema: { note } });
const bodies = async (on = db) => (await on.select({ body: note.body }).from(note).orderBy(asc(note.id))).map(({ body }) => body);

check("own_rows", async () => {
  own(await bodies());
  own((await db.query.note.findMany()).map(({ body }) => body));
  same(await db.$count(note, ne(note.body, "")), ROWS);
});

check("write", async () => {
  const [made] = await db.insert(note).values({ body: MARK, data: { a: [1] } }).returning();
  holds(made.tenantId && made.at instanceof Date, "defaults are read back");
  await db.transaction(async (tx) => {
    await tx.update(note).set({ body: `${MARK}!` }).where(eq(note.id, made.id));
    same((await tx.select().from(note).where(eq(note.id, made.id)))[0].body, `${MARK}!`);
  });
  await db.insert(note).values(Array.from({ length: 100 }, (_, n) => ({ body: `${MARK} ${n}` })));
  same((await db.delete(note).where(like(note.body, `${MARK}%`)).returning({ id: note.id })).length, 101, "rows deleted");
  own(await bodies());
});

check("rollback", async () => {
  await fails("enough", db.transaction(async (tx) => {
    await tx.insert(note).values({ body: MARK });
    await fails("inner", tx.transaction(async (inner) => {
      await inner.delete(note);
      throw new Error("inner");
    }));
    same((await bodies(tx)).length, ROWS + 1, "after a savepoint");
    throw new Error("enough");
  }));
  own(await bodies());
});

check("error_in_transaction", async () => {
  await fails("22012", db.transaction(async (tx) => {
    await tx.insert(note).values({ body: MARK });
    await tx.execute(sql`SELECT 1 / ${0}::int`);
  }));
  await fails("42P01", db.execute(sql`SELECT * FROM no_such_table`));
  own(await bodies());
});

check("prepared", async () => {
  const first = db.select().from(note).where(ne(note.id, sql.placeholder("id"))).prepare("drizzle_own");
  const second = db.select({ n: sql`${sql.placeholder("n")}::int + 1` }).from(note).limit(1).prepare("drizzle_number");
  for (let n = 0; n < 20; n++) {
    own((await first.execute({ id: -n - 1 })).map(({ body }) => body));
    same(await second.execute({ n }), [{ n: n + 1 }]);
  }
});

check("large_result", async () => {
  const { rows } = await db.execute(sql`SELECT n FROM generate_series(1, ${LARGE_ROWS}::int) AS n`);
  same(rows.length, LARGE_ROWS, "rows");
});

check("large_text", async () => {
  const long = MARK + "x".repeat(LARGE_TEXT);
  const [made] = await db.insert(note).values({ body: long }).returning();
  holds(made.body === long, "the text comes back");
  await db.delete(note).where(eq(note.id, made.id));
});

check("serializable", async () => {
  await db.transaction(async (tx) => {
    own(await bodies(tx));
    same((await tx.execute(sql`SHOW transaction_isolation`)).rows[0].transaction_isolation, "serializable");
  }, { isolationLevel: "serializable", accessMode: "read only" });
});

check("types", async () => {
  const at = new Date("2026-03-29T01:30:00.123Z");
  await fails("enough", db.transaction(async (tx) => {
    const [made] = await tx.insert(note).values({ body: MARK, at, data: { a: [1, null, "ü"] } }).returning();
    same([made.at, made.data], [at, { a: [1, null, "ü"] }], "values");
    throw new Error("enough");
  }));
});

check("crowd", async () => {
  const work = (n) => db.transaction(async (tx) => {
    own((await tx.select().from(note).where(not(like(note.body, "client %")))).map(({ body }) => body));
    const [{ id }] = await tx.insert(note).values({ body: `${MARK} ${n}` }).returning();
    await tx.delete(note).where(and(eq(note.id, id), eq(note.body, `${MARK} ${n}`)));
  });
  await Promise.all(Array.from({ length: 100 }, (_, n) => work(n)));
});

const none = "Drizzle has none of its own; see node-pg";
program.absent({ copy: none, cursor: none, notice: none, cancel: none, sticky_settings: none, many_statements: none, pipeline: none });
await program.run(() => pool.end());
