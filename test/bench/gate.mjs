// What does the gate add to a forwarded request? The same forward with the gate's hook and without,
// one request after the other in turn; and the gate's own work, alone.
//
//   node test/bench/gate.mjs [requests of each kind]
import { EventEmitter, once } from "node:events";
import { Agent, createServer, request as send } from "node:http";
import Fastify from "fastify";
import { InferenceGate } from "../../packages/server/dist/inference/gate.js";
import { useUpstream } from "../../packages/server/dist/inference/upstream.js";
import { machine, quantile } from "./support.mjs";

const [requests = 5000] = process.argv.slice(2).map(Number);

const other = createServer((_, response) => response.end('{"ok":true}')).listen(0, "127.0.0.1");
await once(other, "listening");
const url = `http://127.0.0.1:${other.address().port}`;

const service = { state: "IDLE", on: () => () => {} };
const gate = new InferenceGate({ service, allowWhileValidating: false, drainMs: 5000 });
/** Lets everything through and counts nothing. */
const open = { enter: () => new AbortController().signal };

async function server(withGate) {
  const app = Fastify();
  if (withGate)
    app.addHook("onRequest", async (request, reply) => gate.refuse(request, reply) ?? undefined);
  else app.addHook("onRequest", async () => undefined);
  await useUpstream(app, { url, gate: withGate ? gate : open });
  await app.listen({ port: 0, host: "127.0.0.1" });
  return app;
}

const apps = [await server(true), await server(false)];
const agent = new Agent({ keepAlive: true });

/** Milliseconds of one request. */
async function measure(app) {
  const begin = performance.now();
  const { port } = app.server.address();
  const request = send({ port, path: "/v1/models", agent }).end();
  const [response] = await once(request, "response");
  for await (const _ of response);
  return performance.now() - begin;
}

const times = [[], []];
for (let i = 0; i < requests + 500; i++) {
  for (const which of i % 2 ? [0, 1] : [1, 0]) {
    const time = await measure(apps[which]);
    if (i >= 500) times[which].push(time);
  }
}

/** The gate's part of a request, many times over. */
const request = { routeOptions: { url: "/v1/*" }, url: "/v1/models" };
const rounds = 200_000;
const begin = performance.now();
for (let i = 0; i < rounds; i++) {
  gate.refuse(request, null);
  const response = new EventEmitter();
  gate.enter(response);
  response.emit("close");
}
const own = (performance.now() - begin) / rounds;

const describe = (values) => ({ p50_ms: quantile(values, 0.5), p99_ms: quantile(values, 0.99) });
const [gated, plain] = times.map(describe);
for (const app of apps) await app.close();
other.closeAllConnections();
other.close();
console.log(
  JSON.stringify(
    {
      bench: "gate",
      machine: machine(),
      requests,
      gated,
      plain,
      added_ms: { p50: gated.p50_ms - plain.p50_ms, p99: gated.p99_ms - plain.p99_ms },
      gate_alone_ms: own,
    },
    null,
    2,
  ),
);
