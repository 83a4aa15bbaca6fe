// What both Node.js clients share: comparing, switching, the end.

import assert from 'node:assert/strict';

export const root = process.env.OFREP_URL;
export const token = process.env.OFREP_TOKEN;
const api = process.env.OFREP_API;
let checks = 0;

export function same(found, expected, what) {
  assert.deepEqual(found, expected, what);
  checks += 1;
}

export async function post(path, body) {
  const answer = await fetch(`${api}/${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  assert.ok(answer.ok, `${path}: ${answer.status} ${await answer.clone().text()}`);
  checks += 1;
}

export function end(name, figures) {
  console.log(JSON.stringify({ client: name, checks, ...figures }));
  process.exit(0);
}
