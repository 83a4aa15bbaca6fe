// The OpenFeature SDK for servers: asks for each flag when it is needed.

import { OFREPProvider } from '@openfeature/ofrep-provider';
import { OpenFeature } from '@openfeature/server-sdk';
import { end, post, root, same, token } from './check.mjs';

await OpenFeature.setProviderAndWait(
  new OFREPProvider({ baseUrl: root, headers: [['authorization', `Bearer ${token}`]] }),
);
const client = OpenFeature.getClient();
const acme = { targetingKey: 'acme' };
const globex = { targetingKey: 'somebody', tenant: 'globex' };

let found = await client.getBooleanDetails('ai', false, acme);
same([found.value, found.reason, found.variant], [true, 'TARGETING_MATCH', 'on'], 'ai of acme');
same([found.flagMetadata.source, found.flagMetadata.plan], ['plan', 'gold'], 'metadata');
found = await client.getBooleanDetails('ai', true, globex);
same([found.value, found.variant], [false, 'off'], 'ai of globex, named beside a person');
same(await client.getStringValue('theme', '-', acme), 'rich', 'text');
same(await client.getNumberValue('seats', 0, acme), 5, 'whole number');
same(await client.getNumberValue('ratio', 0, acme), 0.5, 'broken number');
same(await client.getObjectValue('report', {}, acme), { pages: 3 }, 'mapping');

found = await client.getBooleanDetails('teleport', true, acme);
same([found.value, found.errorCode], [true, 'FLAG_NOT_FOUND'], 'a flag that nobody knows');
found = await client.getBooleanDetails('theme', true, acme);
same([found.value, found.errorCode], [true, 'TYPE_MISMATCH'], 'a flag of another type');
found = await client.getBooleanDetails('ai', false, {});
same([found.value, found.errorCode], [false, 'TARGETING_KEY_MISSING'], 'no tenant');
found = await client.getBooleanDetails('ai', false, { targetingKey: 'initech' });
same([found.value, found.errorCode], [false, 'INVALID_CONTEXT'], 'a tenant that is not there');

await post('flags/ai:off', { reason: 'it burns' });
const began = performance.now();
found = await client.getBooleanDetails('ai', true, acme);
const seen = performance.now() - began;
same([found.value, found.reason, found.flagMetadata.why], [false, 'DISABLED', 'it burns'], 'switched off');
await post('flags/ai:on');
same(await client.getBooleanValue('ai', false, acme), true, 'switched on again');
end('@openfeature/server-sdk', { switchSeenMs: Math.round(seen) });
