// A connection string's parts, for clients that do not read `sslmode` and `sslrootcert` as libpq does.
import { readFileSync } from "node:fs";

export function options(text) {
  const url = new URL(text);
  const mode = url.searchParams.get("sslmode") ?? "disable";
  const root = url.searchParams.get("sslrootcert");
  return {
    host: url.hostname,
    port: Number(url.port),
    database: decodeURIComponent(url.pathname.slice(1)),
    username: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    ssl: mode === "disable" ? false : { ca: root && readFileSync(root), rejectUnauthorized: mode === "verify-full" },
  };
}
