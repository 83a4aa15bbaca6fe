// What the client programs on Node share: where they connect to, and how they say what came of it.
//
// The runner hands the place over as an application gets it, in DATABASE_URL. Each check is a function; one that ends
// without an error is fine. The last line of the output is the report, one JSON object.
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";

export const URL_ = process.env.DATABASE_URL;
export const OWN = process.env.NOTE_OWN;
export const FOREIGN = process.env.NOTE_FOREIGN;
export const TLS = process.env.CLIENT_TLS === "1";
// PostgreSQL refuses COPY FROM into a table with row-level security, whoever asks (0A000).
export const HAS_COPY_FROM = !(process.env.CLIENT_FEATURES ?? "").split(" ").includes("no-copy-from");
// How many rows of its own every place has, one of them with the canary.
export const ROWS = 3;
export const LARGE_ROWS = 100_000;
export const LARGE_TEXT = 5_000_000;
// The longest that one check may take.
const SECONDS = 60;

// libpq's variables must not fill in what the connection string says already.
for (const name of Object.keys(process.env)) if (name.startsWith("PG")) delete process.env[name];

export class Program {
  constructor(name, packageName = name) {
    this.name = name;
    this.version = versionOf(packageName);
    // Rows with this beginning are ours; the runner removes what a program that died has left.
    this.mark = `client ${name} ${randomUUID()}`;
    this.checks = [];
  }

  check(name, work) {
    this.checks.push({ name, work });
  }

  // Names checks that the client cannot do, with the reason.
  absent(reasons) {
    for (const [name, reason] of Object.entries(reasons)) this.checks.push({ name, reason });
  }

  async run(atTheEnd = async () => {}) {
    const results = [];
    for (const { name, work, reason } of this.checks) {
      const began = performance.now();
      let result = "ok";
      let detail = "";
      if (reason) {
        [result, detail] = ["absent", reason];
      } else {
        try {
          await Promise.race([work(), late()]);
        } catch (error) {
          console.error(error);
          [result, detail] = ["error", String(error?.message || error).slice(0, 600)];
        }
      }
      results.push({ name, result, detail, ms: Math.round((performance.now() - began) * 10) / 10 });
    }
    await Promise.race([atTheEnd(), sleep(5000)]);
    console.log(JSON.stringify({ client: this.name, version: this.version, checks: results }));
    process.exit(results.some(({ result }) => result === "error") ? 1 : 0);
  }
}

function late() {
  return new Promise((_, reject) => setTimeout(() => reject(new Error(`took longer than ${SECONDS} s`)), SECONDS * 1000).unref());
}

function versionOf(name) {
  return JSON.parse(readFileSync(new URL(`./node_modules/${name}/package.json`, import.meta.url), "utf8")).version;
}

export function same(got, wanted, what = "value") {
  if (!isDeepStrictEqual(got, wanted)) throw new Error(`${what}: ${shown(got)} instead of ${shown(wanted)}`);
}

export function holds(fine, what) {
  if (!fine) throw new Error(what);
}

// Says whether these are the rows of this tenant and of nobody else.
export function own(bodies) {
  holds(!bodies.some((body) => body.includes(FOREIGN)), "a row of another tenant is seen");
  same(bodies.length, ROWS, "number of rows");
  holds(bodies.some((body) => body.includes(OWN)), "the own row is not seen");
}

// Awaits what must fail with one of these SQLSTATEs, and gives the error.
export async function fails(code, work) {
  let outcome;
  try {
    outcome = await work;
  } catch (error) {
    const found = error.code?.length === 5 ? error.code : (error.cause?.code ?? error.meta?.code ?? error.message);
    holds(String(found).includes(code), `${found}: ${error.message} instead of ${code}`);
    return error;
  }
  throw new Error(`${code} was expected and nothing failed: ${shown(outcome)}`);
}

export function sleep(ms) {
  return new Promise((done) => setTimeout(done, ms));
}

function shown(value) {
  const text = JSON.stringify(value, (_, part) => (typeof part === "bigint" ? `${part}n` : part)) ?? String(value);
  return text.length < 200 ? text : `${text.slice(0, 200)}… (${text.length} characters)`;
}
