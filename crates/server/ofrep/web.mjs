// The OpenFeature SDK for browsers, here in Node.js: asks for all flags at once, then polls with the ETag it got.

import { OFREPWebProvider } from '@openfeature/ofrep-web-provider';
import { OpenFeature, ProviderEvents } from '@openfeature/web-sdk';
import { end, post, root, same, token } from './check.mjs';

const POLL = 1000;
const statuses = [];
const watched = async (...call) => {
  const answer = await fetch(...call);
  statuses.push(answer.status);
  return answer;
};

const sleep = (span) => new Promise((done) => setTimeout(done, span));
const within = async (span, holds) => {
  const end = performance.now() + span;
  while (!holds()) {
    if (performance.now() > end) throw new Error(`not within ${span} ms: ${holds}`);
    await sleep(10);
  }
};

await OpenFeature.setContext({ targetingKey: 'acme' });
await OpenFeature.setProviderAndWait(
  new OFREPWebProvider({
    baseUrl: root,
    fetchImplementation: watched,
    headers: [['authorization', `Bearer ${token}`]],
    pollInterval: POLL,
  }),
);
const client = OpenFeature.getClient();
const changes = [];
client.addHandler(ProviderEvents.ConfigurationChanged, (event) => changes.push(event?.flagsChanged ?? []));

same(client.getBooleanValue('ai', false), true, 'ai of acme');
same(client.getStringValue('theme', '-'), 'rich', 'text');
same(client.getNumberValue('seats', 0), 5, 'number');
same(client.getObjectValue('report', {}), { pages: 3 }, 'mapping');
same(client.getBooleanDetails('teleport', true).errorCode, 'FLAG_NOT_FOUND', 'a flag that nobody knows');
same(statuses, [200], 'one question for all of them');

await within(4 * POLL, () => statuses.length >= 3);
same(statuses.slice(1, 3), [304, 304], 'polls while nothing changes');
same(changes, [], 'no event while nothing changes');

await post('flags/ai:off', { reason: 'it burns' });
const began = performance.now();
await within(POLL + 1000, () => client.getBooleanValue('ai', true) === false);
const seen = performance.now() - began;
same(client.getBooleanDetails('ai', true).reason, 'DISABLED', 'switched off');
// Handlers run behind the change.
await within(1000, () => changes.flat().includes('ai'));
same(changes.flat(), ['ai'], 'an event names the flag');
await post('flags/ai:on');
await within(POLL + 1000, () => client.getBooleanValue('ai', false) === true);
await OpenFeature.setContext({ targetingKey: 'globex' });
same(client.getStringValue('theme', '-'), 'plain', 'another tenant');
end('@openfeature/web-sdk', { switchSeenMs: Math.round(seen), pollMs: POLL });
