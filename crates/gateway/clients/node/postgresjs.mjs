// postgres.js: prepares every statement under a random name and sends several ahead of their answers (pipelining).
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

import postgres from "postgres";

import { HAS_COPY_FROM, LARGE_ROWS, LARGE_TEXT, Program, ROWS, URL_, fails, holds, own, same, sleep } from "./program.mjs";
import { options } from "./options.mjs";

const program = new Program("postgres.js", "postgres");
const MARK = program.mark;
const check = program.check.bind(program);
const heard = [];
const sql = postgres({ ...options(URL_), max: 4, connect_timeout: 10, onnotice: ({ message }) => heard.push(message) });
const bodies = (rows) => rows.map(({ body }) => body);

check("own_rows", async () => {
  own(bodies(await sql`SELECT body FROM note`));
  own(bodies(await sql`SELECT body FROM note WHERE id >= ${0}`));
});

check("write", async () => {
  const [{ id, data }] = await sql`INSERT INTO note ${sql({ body: MARK, data: sql.json({ a: 1 }) })} RETURNING id, data`;
  same(data, { a: 1 });
  same((await sql`UPDATE note SET body = body || '!' WHERE id = ${id}`).count, 1, "rows updated");
  same(bodies(await sql`SELECT body FROM note WHERE id = ${id}`), [`${MARK}!`]);
  same((await sql`DELETE FROM note WHERE id = ${id}`).count, 1, "rows deleted");
  own(bodies(await sql`SELECT body FROM note`));
});

check("rollback", async () => {
  await fails("enough", sql.begin(async (tx) => {
    await tx`INSERT INTO note (body) VALUES (${MARK})`;
    await fails("inner", tx.savepoint(async (inner) => {
      await inner`DELETE FROM note`;
      throw new Error("inner");
    }));
    same((await tx`SELECT body FROM note`).length, ROWS + 1, "after a savepoint");
    throw new Error("enough");
  }));
  own(bodies(await sql`SELECT body FROM note`));
});

check("error_in_transaction", async () => {
  await fails("22012", sql.begin(async (tx) => {
    await tx`INSERT INTO note (body) VALUES (${MARK})`;
    await tx`SELECT 1 / ${0}::int`;
  }));
  await fails("42P01", sql`SELECT * FROM no_such_table`);
  own(bodies(await sql`SELECT body FROM note`));
});

check("prepared", async () => {
  for (let n = 0; n < 20; n++) {
    own(bodies(await sql`SELECT body FROM note WHERE id <> ${-n - 1}`));
    same(await sql`SELECT ${n}::int + 1 AS n`.then((rows) => rows[0].n), n + 1);
  }
});

check("copy", async () => {
  if (!HAS_COPY_FROM) {
    await fails("0A000", sql.begin(async (tx) => {
      await pipeline(Readable.from([`${MARK}\n`]), await tx`COPY note (body) FROM STDIN`.writable());
    }));
    const parts = [];
    for await (const part of await sql`COPY (SELECT body FROM note) TO STDOUT`.readable()) parts.push(part);
    own(Buffer.concat(parts).toString().trimEnd().split("\n"));
    return own(bodies(await sql`SELECT body FROM note`));
  }
  await fails("enough", sql.begin(async (tx) => {
    const lines = Array.from({ length: 1000 }, (_, n) => `${MARK} ${n}\n`);
    await pipeline(Readable.from(lines), await tx`COPY note (body) FROM STDIN`.writable());
    same((await tx`SELECT body FROM note`).length, 1000 + ROWS, "rows");
    // Little enough for its buffer: with more, postgres.js may leave its socket paused for good (3.4.9).
    const parts = [];
    for await (const part of await tx`COPY (SELECT body FROM note WHERE body NOT LIKE 'client %') TO STDOUT`.readable()) parts.push(part);
    own(Buffer.concat(parts).toString().trimEnd().split("\n"));
    throw new Error("enough");
  }));
});

check("cursor", async () => {
  let count = 0;
  const rows = sql`SELECT body FROM note UNION ALL SELECT n::text FROM generate_series(1, 5000) AS n`;
  for await (const part of rows.cursor(500)) count += part.length;
  same(count, 5000 + ROWS, "rows of a cursor");
});

check("large_result", async () => {
  const rows = await sql`SELECT n FROM generate_series(1, ${LARGE_ROWS}::int) AS n`;
  same(rows.reduce((sum, { n }) => sum + n, 0), (LARGE_ROWS * (LARGE_ROWS + 1)) / 2, "sum");
});

check("large_text", async () => {
  const text = "x".repeat(LARGE_TEXT);
  const [{ t }] = await sql`SELECT ${text}::text AS t`;
  holds(t === text, "the text comes back");
});

check("notice", async () => {
  heard.length = 0;
  await sql`DO $$ BEGIN RAISE NOTICE 'hear %', 'this'; END $$`.simple();
  same(heard, ["hear this"], "notices");
});

check("cancel", async () => {
  const query = sql`SELECT pg_sleep(30)`.execute();
  await sleep(300);
  const began = performance.now();
  query.cancel();
  await fails("57014", query);
  holds(performance.now() - began < 1000, "a cancelled query ends within a second");
  own(bodies(await sql`SELECT body FROM note`));
});

check("sticky_settings", async () => {
  const zoned = postgres({ ...options(URL_), max: 1, connection: { TimeZone: "Asia/Tokyo", application_name: "zoned" } });
  for (let n = 0; n < 5; n++) {
    await zoned.begin(async (tx) => {
      same((await tx`SHOW TimeZone`)[0].TimeZone, "Asia/Tokyo");
      same((await tx`SHOW application_name`)[0].application_name, "zoned");
    });
    await sql`SELECT 1`;
  }
  await zoned.end();
});

check("serializable", async () => {
  await sql.begin("ISOLATION LEVEL SERIALIZABLE", async (tx) => {
    own(bodies(await tx`SELECT body FROM note`));
    same((await tx`SHOW transaction_isolation`)[0].transaction_isolation, "serializable");
  });
});

check("many_statements", async () => {
  const results = await sql.unsafe(
    `INSERT INTO note (body) VALUES ('${MARK}'); SELECT count(*)::int AS n FROM note; DELETE FROM note WHERE body = '${MARK}'`,
  );
  same(results[1][0].n, ROWS + 1);
});

check("types", async () => {
  const at = new Date("2026-03-29T01:30:00.123Z");
  const bytes = Buffer.from("00ff".repeat(500), "hex");
  const [row] = await sql`SELECT ${"3d6f0a52-6c5b-4d27-9e3b-0a6d0f7a1b2c"}::uuid AS a, ${"1.000000000000000000001"}::numeric AS b,
    ${at}::timestamptz AS c, ${bytes}::bytea AS d, ${[1, 2, 4]}::int[] AS e, ${["a", 'b"c']}::text[] AS f,
    ${sql.json({ a: [1, null] })}::jsonb AS g`;
  same({ ...row }, { a: "3d6f0a52-6c5b-4d27-9e3b-0a6d0f7a1b2c", b: "1.000000000000000000001", c: at, d: bytes, e: [1, 2, 4],
    f: ["a", 'b"c'], g: { a: [1, null] } }, "values");
});

check("pipeline", async () => {
  const one = postgres({ ...options(URL_), max: 1 });
  // One connection: all of these are on their way before the first answer.
  const answers = await Promise.all(Array.from({ length: 200 }, (_, n) => one`SELECT count(*)::int + ${n}::int AS n FROM note`));
  same(answers.map(([{ n }]) => n), Array.from({ length: 200 }, (_, n) => ROWS + n), "answers");
  const mixed = await Promise.allSettled([one`SELECT 1 AS n`, one`SELECT 1 / ${0}::int`, one`SELECT body FROM note`]);
  same(mixed.map(({ status }) => status), ["fulfilled", "rejected", "fulfilled"], "an error in the middle");
  own(bodies(mixed[2].value));
  await one.end();
});

check("crowd", async () => {
  const work = (n) => sql.begin(async (tx) => {
    own(bodies(await tx`SELECT body FROM note WHERE body NOT LIKE 'client %'`));
    await tx`INSERT INTO note (body) VALUES (${`${MARK} ${n}`})`;
    await tx`DELETE FROM note WHERE body = ${`${MARK} ${n}`}`;
  });
  await Promise.all(Array.from({ length: 200 }, (_, n) => work(n)));
});

await program.run(() => sql.end({ timeout: 5 }));
