// Prisma 7 with its adapter for node-postgres.
import { PrismaPg } from "@prisma/adapter-pg";

import { LARGE_TEXT, Program, ROWS, URL_, fails, holds, own, same } from "../program.mjs";
import { PrismaClient } from "./generated/client.js";

const program = new Program("prisma", "@prisma/client");
const MARK = program.mark;
const check = program.check.bind(program);
// Prisma writes the schema's name into every statement, `public` unless it is told another one.
const adapter = new PrismaPg({ connectionString: URL_, max: 4, connectionTimeoutMillis: 10_000 }, { schema: process.env.NOTE_SCHEMA });
const prisma = new PrismaClient({ adapter });
const bodies = async (on: any = prisma, where = {}) => (await on.note.findMany({ where, orderBy: { id: "asc" } })).map(({ body }) => body);
const ours = { body: { startsWith: MARK } };

check("own_rows", async () => {
  own(await bodies());
  same(await prisma.note.count({ where: { body: { not: "" } } }), ROWS);
  own((await prisma.$queryRaw<{ body: string }[]>`SELECT body FROM note WHERE id >= ${0}`).map(({ body }) => body));
});

check("write", async () => {
  const made = await prisma.note.create({ data: { body: MARK, data: { a: [1] } } });
  holds(made.tenantId && made.at instanceof Date, "defaults are read back");
  const key = { tenantId_id: { tenantId: made.tenantId, id: made.id } };
  const changed = await prisma.note.update({ where: key, data: { body: `${MARK}!` } });
  same(changed.body, `${MARK}!`);
  same((await prisma.note.findUniqueOrThrow({ where: key })).data, { a: [1] });
  await prisma.note.upsert({ where: key, create: { body: "never" }, update: { data: { b: 2 } } });
  await prisma.note.delete({ where: key });
  same((await prisma.note.createMany({ data: Array.from({ length: 100 }, (_, n) => ({ body: `${MARK} ${n}` })) })).count, 100);
  same((await prisma.note.deleteMany({ where: ours })).count, 100, "rows deleted");
  own(await bodies());
});

check("rollback", async () => {
  await fails("enough", prisma.$transaction(async (tx) => {
    await tx.note.create({ data: { body: MARK } });
    same((await bodies(tx)).length, ROWS + 1);
    throw new Error("enough");
  }));
  own(await bodies());
});

check("error_in_transaction", async () => {
  await fails("", prisma.$transaction([prisma.note.create({ data: { body: MARK } }), prisma.$queryRaw`SELECT 1 / ${0}::int`]));
  own(await bodies());
  await fails("", prisma.$queryRaw`SELECT * FROM no_such_table`);
  own(await bodies());
});

check("prepared", async () => {
  for (let n = 0; n < 20; n++) {
    own(await bodies(prisma, { id: { not: -n - 1 } }));
    same(await prisma.$queryRaw`SELECT ${n}::int + 1 AS n`, [{ n: n + 1 }]);
  }
});

check("large_result", async () => {
  same((await prisma.$queryRaw<unknown[]>`SELECT n FROM generate_series(1, 100000) AS n`).length, 100_000, "rows");
});

check("large_text", async () => {
  const long = MARK + "x".repeat(LARGE_TEXT);
  const made = await prisma.note.create({ data: { body: long } });
  holds(made.body === long, "the text comes back");
  await prisma.note.deleteMany({ where: ours });
});

check("serializable", async () => {
  await prisma.$transaction(async (tx) => {
    own(await bodies(tx));
    same(await tx.$queryRaw`SHOW transaction_isolation`, [{ transaction_isolation: "serializable" }]);
  }, { isolationLevel: "Serializable" });
});

check("types", async () => {
  const at = new Date("2026-03-29T01:30:00.123Z");
  const made = await prisma.note.create({ data: { body: MARK, at, data: { a: [1, null, "ü"] } } });
  same([made.at, made.data, typeof made.id], [at, { a: [1, null, "ü"] }, "bigint"], "values");
  same((await prisma.note.findMany({ where: { data: { path: ["a", "2"], equals: "ü" } } })).length, 1, "found by JSON path");
  await prisma.note.deleteMany({ where: ours });
});

check("crowd", async () => {
  const work = (n: number) => prisma.$transaction(async (tx) => {
    own(await bodies(tx, { NOT: { body: { startsWith: "client " } } }));
    await tx.note.create({ data: { body: `${MARK} ${n}` } });
    await tx.note.deleteMany({ where: { body: `${MARK} ${n}` } });
  }, { maxWait: 30_000, timeout: 30_000 });
  await Promise.all(Array.from({ length: 50 }, (_, n) => work(n)));
});

const none = "Prisma has none; see node-pg";
program.absent({ copy: none, cursor: none, notice: none, cancel: none, sticky_settings: none, many_statements: none, pipeline: none });
await program.run(() => prisma.$disconnect());
