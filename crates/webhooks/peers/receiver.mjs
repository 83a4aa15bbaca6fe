// A receiver that believes what the reference library of Standard Webhooks for Node.js believes, and nothing else.
//
// Secrets come as lines on its input: the newest counts. What it takes, and what it refuses, goes to its output as JSON.
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { Webhook } from "standardwebhooks";

let library = null;
createInterface({ input: process.stdin }).on("line", (secret) => {
  library = new Webhook(secret);
  console.log(JSON.stringify({ secret: true }));
});

const isRefused = (verify) => {
  try {
    verify();
    return false;
  } catch {
    return true;
  }
};

const server = createServer((request, answer) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    const body = Buffer.concat(parts).toString("utf8");
    const found = { id: request.headers["webhook-id"], signatures: request.headers["webhook-signature"].split(" ").length };
    try {
      const event = library.verify(body, request.headers);
      // Another body, another id, an older time: none may pass.
      found.tampered = [
        isRefused(() => library.verify(`${body} `, request.headers)),
        isRefused(() => library.verify(body, { ...request.headers, "webhook-id": "evt_other" })),
        isRefused(() => library.verify(body, { ...request.headers, "webhook-timestamp": "1600000000" })),
      ].every(Boolean);
      found.type = event.type;
      found.sequence = event.sequence;
      answer.writeHead(204).end();
    } catch (error) {
      found.error = String(error);
      answer.writeHead(401).end();
    }
    console.log(JSON.stringify(found));
  });
});
server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: server.address().port })));
