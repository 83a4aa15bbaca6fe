// node-postgres (`pg`), the client below most of Node's libraries: pool, named statements, cursors, COPY streams.
import { pipeline } from "node:stream/promises";
import { Readable } from "node:stream";

import pg from "pg";
import { from as copyFrom, to as copyTo } from "pg-copy-streams";
import Cursor from "pg-cursor";
import QueryStream from "pg-query-stream";

import { HAS_COPY_FROM, LARGE_ROWS, LARGE_TEXT, Program, ROWS, TLS, URL_, fails, holds, own, same, sleep } from "./program.mjs";

const program = new Program("node-pg", "pg");
const MARK = program.mark;
const pool = new pg.Pool({ connectionString: URL_, max: 4, connectionTimeoutMillis: 10_000 });

function check(name, work) {
  program.check(name, async () => {
    const client = await pool.connect();
    let failed = true;
    try {
      await work(client);
      failed = false;
    } finally {
      client.release(failed);
    }
  });
}

const bodies = async (client, ...query) => (await client.query(...query)).rows.map(({ body }) => body);

check("login", async (client) => {
  same(Boolean(client.connection.stream.encrypted), TLS, "TLS in use");
});

check("own_rows", async (client) => {
  own(await bodies(client, "SELECT body FROM note"));
  own(await bodies(client, "SELECT body FROM note WHERE id >= $1", [0]));
  own(await bodies(pool, "SELECT body FROM note"));
});

check("write", async (client) => {
  await client.query("BEGIN");
  const { rows } = await client.query("INSERT INTO note (body, data) VALUES ($1, $2) RETURNING id, data", [MARK, { a: 1 }]);
  same(rows[0].data, { a: 1 });
  await client.query("COMMIT");
  const key = [rows[0].id];
  same((await client.query("UPDATE note SET body = body || '!' WHERE id = $1", key)).rowCount, 1, "rows updated");
  same(await bodies(client, "SELECT body FROM note WHERE id = $1", key), [`${MARK}!`]);
  same((await client.query("DELETE FROM note WHERE id = $1", key)).rowCount, 1, "rows deleted");
  own(await bodies(client, "SELECT body FROM note"));
});

check("rollback", async (client) => {
  await client.query("BEGIN");
  await client.query("INSERT INTO note (body) VALUES ($1)", [MARK]);
  await client.query("SAVEPOINT one");
  await client.query("DELETE FROM note");
  await client.query("ROLLBACK TO SAVEPOINT one");
  same((await bodies(client, "SELECT body FROM note")).length, ROWS + 1, "after a savepoint");
  await client.query("ROLLBACK");
  own(await bodies(client, "SELECT body FROM note"));
});

check("error_in_transaction", async (client) => {
  await client.query("BEGIN");
  await client.query("INSERT INTO note (body) VALUES ($1)", [MARK]);
  await fails("22012", client.query("SELECT 1 / $1::int", [0]));
  await fails("25P02", client.query("SELECT body FROM note"));
  await client.query("ROLLBACK");
  own(await bodies(client, "SELECT body FROM note"));
  await fails("42P01", client.query("SELECT * FROM no_such_table"));
  await fails("42601", client.query("SELEC 1"));
  own(await bodies(client, "SELECT body FROM note"));
});

check("prepared", async (client) => {
  const other = await pool.connect();
  try {
    for (let n = 0; n < 20; n++) {
      own(await bodies(client, { name: "own", text: "SELECT body FROM note WHERE id <> $1", values: [-n - 1] }));
      same((await other.query({ name: "own", text: "SELECT $1::int + 1 AS n", values: [n] })).rows, [{ n: n + 1 }]);
      same((await client.query({ name: "text", text: "SELECT $1::text || 'x' AS t", values: [n] })).rows, [{ t: `${n}x` }]);
    }
  } finally {
    other.release();
  }
});

check("copy", async (client) => {
  await client.query("BEGIN");
  const lines = Array.from({ length: 1000 }, (_, n) => `${MARK} ${n}\t{"n": ${n}}\n`);
  const loading = pipeline(Readable.from(lines), client.query(copyFrom("COPY note (body, data) FROM STDIN")));
  if (HAS_COPY_FROM) {
    await loading;
  } else {
    await fails("0A000", loading);
    await client.query("ROLLBACK");
    await client.query("BEGIN");
  }
  const out = client.query(copyTo("COPY (SELECT body FROM note) TO STDOUT"));
  const parts = [];
  for await (const part of out) parts.push(part);
  const copied = Buffer.concat(parts).toString().trimEnd().split("\n");
  same(copied.length, ROWS + (HAS_COPY_FROM ? 1000 : 0), "lines");
  own(copied.filter((line) => !line.startsWith("client ")));
  await client.query("ROLLBACK");
  own(await bodies(client, "SELECT body FROM note"));
});

check("cursor", async (client) => {
  await client.query("BEGIN");
  const text = "SELECT body FROM note UNION ALL SELECT n::text FROM generate_series(1, $1::int) AS n";
  const cursor = client.query(new Cursor(text, [5000]));
  let count = 0;
  for (let rows = await cursor.read(700); rows.length > 0; rows = await cursor.read(700)) count += rows.length;
  same(count, 5000 + ROWS, "rows of a cursor");
  await cursor.close();
  await client.query("COMMIT");
  count = 0;
  for await (const _ of client.query(new QueryStream(text, [5000], { batchSize: 100 }))) count++;
  same(count, 5000 + ROWS, "rows of a stream without a transaction");
});

check("large_result", async (client) => {
  const { rows } = await client.query("SELECT n FROM generate_series(1, $1::int) AS n", [LARGE_ROWS]);
  same(rows.reduce((sum, { n }) => sum + n, 0), (LARGE_ROWS * (LARGE_ROWS + 1)) / 2, "sum");
});

check("large_text", async (client) => {
  const text = "x".repeat(LARGE_TEXT);
  const { rows } = await client.query("SELECT $1::text AS t, octet_length($1::text) AS n", [text]);
  same([rows[0].t === text, rows[0].n], [true, LARGE_TEXT], "text and octets");
});

check("notice", async (client) => {
  const heard = [];
  const hear = ({ severity, message }) => heard.push([severity, message]);
  client.on("notice", hear);
  await client.query("DO $$ BEGIN RAISE NOTICE 'hear %', 'this'; END $$");
  client.off("notice", hear);
  same(heard, [["NOTICE", "hear this"]], "notices");
});

program.check("cancel", async () => {
  // node-postgres cancels on a second connection, as psql does: by the key that the first one was given.
  const client = new pg.Client({ connectionString: URL_ });
  await client.connect();
  const query = new pg.Query("SELECT pg_sleep(30)");
  const ended = new Promise((done) => query.once("error", done));
  client.query(query);
  await sleep(300);
  const began = performance.now();
  const second = new pg.Client({ connectionString: URL_ });
  second.cancel(client, query);
  same((await ended).code, "57014", "SQLSTATE");
  holds(performance.now() - began < 1000, "a cancelled query ends within a second");
  own(await bodies(client, "SELECT body FROM note"));
  await client.end();
});

check("sticky_settings", async (client) => {
  const other = await pool.connect();
  try {
    await client.query("SET TIME ZONE 'Asia/Tokyo'");
    await client.query("SET application_name = 'first of two'");
    await other.query("SET TIME ZONE 'America/Lima'");
    for (let n = 0; n < 5; n++) {
      await client.query("BEGIN");
      same((await client.query("SHOW TimeZone")).rows[0].TimeZone, "Asia/Tokyo");
      same((await client.query("SHOW application_name")).rows[0].application_name, "first of two");
      await client.query("COMMIT");
      same((await other.query("SHOW TimeZone")).rows[0].TimeZone, "America/Lima");
    }
  } finally {
    other.release(true);
  }
  await client.query("RESET TIME ZONE");
});

check("serializable", async (client) => {
  await client.query("BEGIN TRANSACTION ISOLATION LEVEL SERIALIZABLE");
  own(await bodies(client, "SELECT body FROM note"));
  same((await client.query("SHOW transaction_isolation")).rows[0].transaction_isolation, "serializable");
  await client.query("COMMIT");
  await client.query("BEGIN");
  await client.query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ");
  own(await bodies(client, "SELECT body FROM note"));
  same((await client.query("SHOW transaction_isolation")).rows[0].transaction_isolation, "repeatable read");
  await client.query("COMMIT");
});

check("many_statements", async (client) => {
  const results = await client.query(
    `BEGIN; INSERT INTO note (body) VALUES ('${MARK}'); COMMIT; SELECT count(*)::int AS n FROM note; ` +
      `DELETE FROM note WHERE body = '${MARK}'; SELECT body FROM note`,
  );
  same(results.map(({ command }) => command), ["BEGIN", "INSERT", "COMMIT", "SELECT", "DELETE", "SELECT"], "tags");
  same(results[3].rows, [{ n: ROWS + 1 }], "after a COMMIT in the middle");
  own(results[5].rows.map(({ body }) => body));
});

check("types", async (client) => {
  const at = new Date("2026-03-29T01:30:00.123Z");
  const bytes = Buffer.from("00ff".repeat(500), "hex");
  const { rows } = await client.query({
    rowMode: "array",
    text: "SELECT $1::uuid, $2::numeric, $3::timestamptz, $4::bytea, $5::int[], $6::text[], $7::jsonb, $8::int8, $9::bool",
    values: ["3d6f0a52-6c5b-4d27-9e3b-0a6d0f7a1b2c", "12345678901234567890.123456789", at, bytes, [1, 2, null, 4],
      ["a", 'b"c', "ü,{}"], { a: [1, null, "ü"] }, "4611686018427387904", null],
  });
  same(rows[0], ["3d6f0a52-6c5b-4d27-9e3b-0a6d0f7a1b2c", "12345678901234567890.123456789", at, bytes, [1, 2, null, 4],
    ["a", 'b"c', "ü,{}"], { a: [1, null, "ü"] }, "4611686018427387904", null], "values");
});

program.check("crowd", async () => {
  const work = async (n) => {
    for (let turn = 0; turn < 20; turn++) {
      const client = await pool.connect();
      try {
        await client.query("BEGIN");
        own(await bodies(client, "SELECT body FROM note WHERE body NOT LIKE 'client %'"));
        await client.query("INSERT INTO note (body) VALUES ($1)", [`${MARK} ${n}`]);
        await client.query("ROLLBACK");
      } finally {
        client.release();
      }
    }
  };
  await Promise.all(Array.from({ length: 16 }, (_, n) => work(n)));
});

program.absent({ pipeline: "node-postgres queues queries and sends one at a time" });
pool.on("error", () => {});
await program.run(() => pool.end());
