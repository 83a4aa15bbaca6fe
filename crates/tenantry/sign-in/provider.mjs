// A certified OpenID provider with three people, over TLS: node provider.mjs PORT KEY CERTIFICATE
//
// Beside the protocol it answers POST /test/rotate (signs with another key from then on, and knows the first no more) and
// GET /test/log (how often each address was asked, and with which grants).
import { createServer } from "node:https";
import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import Provider from "oidc-provider";

const [port, key, certificate] = process.argv.slice(2);
const issuer = `https://127.0.0.1:${port}`;
const groups = { olga: ["platform"], petra: ["sre"], nobody: [] };

// What is known outlives a change of keys, for which the provider is made anew.
const kept = new Map();
class Kept {
  constructor(model) {
    this.model = model;
  }
  key(id) {
    return `${this.model}:${id}`;
  }
  of(test) {
    return [...kept].find(([key, value]) => key.startsWith(`${this.model}:`) && test(value))?.[1];
  }
  async upsert(id, payload) {
    kept.set(this.key(id), payload);
  }
  async find(id) {
    return kept.get(this.key(id));
  }
  async findByUid(uid) {
    return this.of((value) => value.uid === uid);
  }
  async findByUserCode(code) {
    return this.of((value) => value.userCode === code);
  }
  async consume(id) {
    kept.get(this.key(id)).consumed = Math.floor(Date.now() / 1000);
  }
  async destroy(id) {
    kept.delete(this.key(id));
  }
  async revokeByGrantId(id) {
    for (const [key, value] of kept) {
      if (value.grantId === id) kept.delete(key);
    }
  }
}

const pair = (kid) => ({
  ...generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ format: "jwk" }),
  kid,
  alg: "RS256",
  use: "sig",
});

const made = (keys) =>
  new Provider(issuer, {
    adapter: Kept,
    clients: [
      {
        client_id: "tenantry-cli",
        token_endpoint_auth_method: "none",
        application_type: "native",
        redirect_uris: ["http://127.0.0.1/callback"],
        grant_types: ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
        response_types: ["code"],
      },
    ],
    jwks: { keys },
    cookies: { keys: ["a key of cookies that is the same after a rotation"] },
    pkce: { required: () => true },
    scopes: ["openid", "offline_access"],
    issueRefreshToken: async () => true,
    rotateRefreshToken: true,
    findAccount: async (_, id) => (id in groups ? { accountId: id, claims: async () => ({ sub: id }) } : undefined),
    extraTokenClaims: async (_, token) => ({ groups: groups[token.accountId], email: `${token.accountId}@example.com` }),
    ttl: { AccessToken: 45, AuthorizationCode: 60, IdToken: 300, DeviceCode: 120, Interaction: 300, Session: 300, Grant: 600 },
    features: {
      devInteractions: { enabled: true },
      deviceFlow: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: async () => true,
        getResourceServerInfo: async (_, resource) => ({
          scope: "",
          audience: resource,
          accessTokenFormat: "jwt",
          accessTokenTTL: 45,
          jwt: { sign: { alg: "RS256" } },
        }),
      },
    },
  });

let provider = made([pair("one")]);
const log = {};
const count = (name) => {
  log[name] = (log[name] ?? 0) + 1;
};
const watch = (one) => {
  one.on("grant.success", (ctx) => count(`grant ${ctx.oidc.params.grant_type}`));
  one.on("grant.error", (ctx, error) => count(`refused ${error.error}`));
  one.on("server_error", (_, error) => console.error(error));
};
watch(provider);
let answer = provider.callback();

createServer({ key: readFileSync(key), cert: readFileSync(certificate) }, (request, response) => {
  const path = request.url.split("?")[0];
  count(path);
  if (request.method === "POST" && path === "/test/rotate") {
    provider = made([pair("two")]);
    watch(provider);
    answer = provider.callback();
    response.end("{}");
  } else if (path === "/test/log") {
    response.end(JSON.stringify(log));
  } else {
    answer(request, response);
  }
}).listen(Number(port), "127.0.0.1", () => console.log("ready"));
