import { BROKER_OPERATIONS, OPERATIONS, type OperationTable, type Scope } from "@proofmill/core";
import { expect, onTestFinished, test, vi } from "vitest";
import { WebSocket } from "ws";
import { INIT_GENERATE, PROOF, type TestServer, testServer } from "../test-support.ts";
import { digestOf, type KeyEntry } from "./keys.ts";

const KEYS = {
  admin: "an-admin-s-key-0001",
  validate: "a-validator-s-key-01",
  read: "a-reader-s-key-0001",
  inference: "a-guest-s-key-00001",
};
const ENTRIES: KeyEntry[] = Object.entries(KEYS).map(([scope, key]) => ({
  label: `the-${scope}`,
  scopes: [scope as Scope],
  digest: digestOf(key),
}));
const bearer = (key: string) => ({ authorization: `Bearer ${key}` });

async function locked(
  options: Parameters<typeof testServer>[0] = {},
): Promise<TestServer & { url: string }> {
  const server = await testServer({ protocol: "both", keys: ENTRIES, ...options });
  const url = await server.app.listen({ host: "127.0.0.1", port: 0 });
  return { ...server, url };
}

const TABLE: OperationTable = { ...OPERATIONS, ...BROKER_OPERATIONS };
/** REST's paths, the broker's too, and each procedure over HTTP. */
const PATHS = Object.values(TABLE).flatMap(({ rest, procedure, kind, scope }) => [
  ...(rest ? [{ call: rest, scope }] : []),
  ...(procedure
    ? [{ call: `${kind === "command" ? "POST" : "GET"} /trpc/${procedure}`, scope }]
    : []),
]);
const OPEN = ["GET /livez", "GET /readyz", "GET /health"];
const OTHERS = [
  "/metrics",
  "/docs",
  "/openapi.json",
  "/nothing",
  "/v1/nothing",
  "/trpc/nothing",
  "/%zz",
];

async function ask(server: { url: string }, call: string, headers: Record<string, string> = {}) {
  const [method = "", path] = call.split(" ");
  const abort = new AbortController();
  const answer = await fetch(`${server.url}${path}`, {
    method,
    headers: { "content-type": "application/json", ...headers },
    signal: abort.signal,
    ...(method === "POST" ? { body: "{" } : {}),
  });
  // A stream of events does not end.
  const isStream = answer.headers.get("content-type")?.startsWith("text/event-stream");
  const text = isStream ? "" : await answer.text();
  abort.abort();
  return { status: answer.status, text, headers: answer.headers };
}

test("without a key everything but the open paths is 401, and nothing else is looked at", async () => {
  const server = await locked();
  const calls = [...PATHS.map(({ call }) => call), ...OTHERS.map((path) => `GET ${path}`)];
  for (const call of calls.filter((each) => !OPEN.includes(each))) {
    for (const headers of [{}, bearer("a-wrong-key-0000000"), { authorization: KEYS.admin }]) {
      // Neither a foreign page, nor a body that is no JSON comes first.
      const answer = await ask(server, call, { ...headers, origin: "https://evil.example" });
      expect([call, answer.status]).toEqual([call, 401]);
      expect(answer.headers.get("www-authenticate")).toBe("Bearer");
      expect(JSON.parse(answer.text)).toMatchObject({
        detail: "A valid API key is required",
        hint: "show it in the header Authorization: Bearer <key>",
      });
    }
  }
  for (const method of ["DELETE", "OPTIONS"]) {
    expect((await ask(server, `${method} /api/v1/pow/status`)).status).toBe(401);
  }
});

test("a key in an address counts for nothing", async () => {
  const server = await locked();
  const params = encodeURIComponent(JSON.stringify(bearer(KEYS.admin)));
  for (const query of [`api_key=${KEYS.admin}`, `connectionParams=${params}`]) {
    expect((await ask(server, `GET /trpc/pow.status?${query}`)).status).toBe(401);
  }
});

test("a key allows what its scopes say, an admin's everything", async () => {
  const server = await locked();
  for (const { call, scope } of PATHS.filter((each) => !OPEN.includes(each.call))) {
    for (const [own, key] of Object.entries(KEYS)) {
      const { status, text } = await ask(server, call, bearer(key));
      const isAllowed = own === "admin" || own === scope;
      expect([call, own, status === 403]).toEqual([call, own, !isAllowed]);
      if (!isAllowed) expect(text).toContain(`do not allow this: it needs ${scope}`);
    }
  }
  const refused = await ask(server, "POST /trpc/pow.stop", bearer(KEYS.read));
  expect(JSON.parse(refused.text).error.data.refusal.code).toBe("SCOPE_REQUIRED");
});

test("open paths say no more than the status, unless a key may read", async () => {
  const server = await locked({ loaded: false });
  expect((await ask(server, "GET /health")).text).toBe('{"status":"unavailable"}');
  for (const call of OPEN) {
    expect(Object.keys(JSON.parse((await ask(server, call)).text))).toEqual(["status"]);
  }
  expect((await ask(server, "GET /health", bearer(KEYS.inference))).text).not.toContain("loading");
  expect((await ask(server, "GET /health", bearer(KEYS.read))).text).toContain("Model is loading");
});

test("a browser's preflight needs no key, and its page reads why it is refused", async () => {
  const server = await locked({ allowOrigin: ["https://a.example"] });
  const origin = { origin: "https://a.example" };
  const asked = { "access-control-request-method": "POST" };
  expect((await ask(server, "OPTIONS /trpc/pow.stop", { ...origin, ...asked })).status).toBe(204);
  const refused = await ask(server, "POST /trpc/pow.stop", origin);
  expect(refused.status).toBe(401);
  expect(refused.headers.get("access-control-allow-origin")).toBe("https://a.example");
});

test("a long body of a refused request is not read", async () => {
  const server = await locked();
  let sent = 0;
  const body = new ReadableStream({
    pull(controller) {
      sent++;
      controller.enqueue(new Uint8Array(65_536));
    },
  });
  const outcome = await fetch(`${server.url}/api/v1/pow/validate`, {
    method: "POST",
    body,
    duplex: "half",
  } as RequestInit).then(
    ({ status, headers }) => [status, headers.get("connection")],
    () => "reset",
  );
  expect([JSON.stringify([401, "close"]), '"reset"']).toContain(JSON.stringify(outcome));
  expect(sent).toBeLessThan(1600); // 100 MiB; what sockets hold has gone
});

function socket(server: { url: string }, query = "", headers: Record<string, string> = {}) {
  const client = new WebSocket(`${server.url.replace("http", "ws")}/trpc${query}`, { headers });
  onTestFinished(() => client.terminate());
  const messages: string[] = [];
  client.on("message", (data) => messages.push(String(data)));
  const outcome = new Promise<string>((resolve) => {
    client.once("open", () => resolve("open"));
    client.once("error", ({ message }) => resolve(message));
  });
  const closed = new Promise<number>((resolve) => client.once("close", resolve));
  return { client, messages, outcome, closed };
}
const status = (id: number) =>
  JSON.stringify({ id, method: "query", params: { path: "pow.status" } });
const params = (key: string) => JSON.stringify({ method: "connectionParams", data: bearer(key) });

test("a WebSocket shows its key in a header, or in its first message", async () => {
  const server = await locked();
  expect(await socket(server, "", bearer("a-wrong-key-0000000")).outcome).toContain("401");
  const right = [
    { query: "", headers: bearer(KEYS.read), first: [] },
    { query: "", headers: {}, first: [params(KEYS.read)] },
    { query: "?connectionParams=1", headers: {}, first: [params(KEYS.read)] },
    { query: "?connectionParams=1", headers: bearer(KEYS.read), first: [params("anything")] },
  ];
  for (const { query, headers, first } of right) {
    const { client, messages, outcome } = socket(server, query, headers);
    expect(await outcome).toBe("open");
    for (const message of [...first, status(1)]) client.send(message);
    await vi.waitUntil(() => messages.length === 1);
    expect(messages[0]).toContain('"state":"IDLE"');
    client.send(JSON.stringify({ id: 2, method: "mutation", params: { path: "pow.stop" } }));
    await vi.waitUntil(() => messages.length === 2);
    expect(messages[1]).toContain("SCOPE_REQUIRED");
  }
});

test("a WebSocket without a right key gets no answer, and ends with 4401", async () => {
  const server = await locked();
  for (const first of [status(1), params("a-wrong-key-0000000"), "{", "[]", "null"]) {
    const { client, messages, outcome, closed } = socket(server);
    expect(await outcome).toBe("open");
    client.send(first);
    client.send(status(2));
    expect(await closed).toBe(4401);
    expect(messages).toEqual([]);
  }
  const long = socket(server);
  await long.outcome;
  long.client.send(`${" ".repeat(20_000)}${params(KEYS.read)}`);
  expect(await long.closed).toBe(1006);
});

test("WebSockets without a key are bounded: the one that waits longest gives up its place", async () => {
  const server = await locked();
  const first = socket(server);
  await first.outcome;
  for (let i = 0; i < 32; i++) await socket(server).outcome;
  expect(await first.closed).toBe(4401);
});

test("a key that is taken away ends its WebSockets and streams, the others go on", async () => {
  const server = await locked();
  const of = async (key: string) => {
    const one = socket(server, "", bearer(key));
    await one.outcome;
    one.client.send(
      JSON.stringify({ id: 1, method: "subscription", params: { path: "pow.onStatus" } }),
    );
    await vi.waitUntil(() => one.messages.length >= 1);
    return one;
  };
  const [lost, kept] = [await of(KEYS.read), await of(KEYS.admin)];
  const stream = await fetch(`${server.url}/trpc/pow.onStatus`, { headers: bearer(KEYS.read) });
  server.keyring?.replace(ENTRIES.filter(({ label }) => label !== "the-read"));
  expect(await lost.closed).toBe(4401);
  for await (const _ of stream.body ?? []); // ends
  kept.client.send(status(2));
  await vi.waitUntil(() => kept.messages.some((text) => text.includes('"id":2')));
  expect((await ask(server, "GET /api/v1/pow/status", bearer(KEYS.read))).status).toBe(401);
});

test("the requests of a second are counted for each key; of a batch, each call", async () => {
  const server = await locked({ maxRequestsPerSecond: 5 });
  const batch = `GET /trpc/${Array(5).fill("pow.status").join(",")}?batch=1`;
  expect((await ask(server, batch, bearer(KEYS.read))).status).toBe(200);
  const refused = await ask(server, "GET /api/v1/pow/status", bearer(KEYS.read));
  expect(refused.status).toBe(429);
  expect(refused.headers.get("retry-after")).toBe("1");
  expect((await ask(server, "GET /api/v1/pow/status", bearer(KEYS.admin))).status).toBe(200);
  expect((await ask(server, "GET /health", bearer(KEYS.read))).status).toBe(200);
});

test("the calls of a WebSocket's messages are counted, and wait", async () => {
  const server = await locked({ maxRequestsPerSecond: 20 });
  const { client, messages, outcome } = socket(server, "", bearer(KEYS.read));
  await outcome;
  const calls = Array.from({ length: 30 }, (_, id) => JSON.parse(status(id)));
  client.send(JSON.stringify(calls));
  client.send(status(100));
  await vi.waitUntil(() => messages.length >= 30);
  expect((await ask(server, "GET /api/v1/pow/status", bearer(KEYS.read))).status).toBe(429);
  await vi.waitUntil(() => messages.some((text) => text.includes('"id":100')));
});

test("without keys requests are counted by address, but not this machine's own", async () => {
  const server = await testServer({ maxRequestsPerSecond: 1, trustedProxy: ["10.0.0.0/8"] });
  const from = async (remoteAddress: string, forwarded?: string) => {
    const headers = forwarded === undefined ? {} : { "x-forwarded-for": forwarded };
    const url = "/api/v1/pow/status";
    return (await server.app.inject({ method: "GET", url, headers, remoteAddress })).statusCode;
  };
  for (const address of ["127.0.0.1", "::1", "::ffff:127.0.0.9", "10.1.2.3"]) {
    for (let i = 0; i < 3; i++) expect(await from(address)).toBe(200);
  }
  expect(await from("192.0.2.1")).toBe(200);
  expect(await from("192.0.2.1")).toBe(429);
  expect(await from("192.0.2.1", "192.0.2.7")).toBe(429); // it may say what it likes
  expect(await from("10.1.2.3", "127.0.0.1, 192.0.2.2, 10.9.9.9")).toBe(200);
  expect(await from("10.1.2.3", "192.0.2.2")).toBe(429);
  expect(await from("10.1.2.3", "192.0.2.2:567, [::1]:568")).toBe(429); // with the ports that they came by
  expect(await from("10.1.2.3", "192.0.2.3:567")).toBe(200);
  expect(await from("10.1.2.3", "[2001:db8:1::1]:567")).toBe(200);
  expect(await from("10.1.2.3", "[2001:db8:1::2]")).toBe(429);
  expect(await from("2001:db8::1")).toBe(200);
  expect(await from("2001:db8::2")).toBe(429);
});

test("callers' keys stay here, where they are this node's; an upstream gets its own", async () => {
  const { createServer } = await import("node:http");
  const seen: (string | undefined)[] = [];
  const upstream = createServer((request, response) => {
    seen.push(request.headers.authorization);
    response.end("{}");
  });
  await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void upstream.close());
  const url = `http://127.0.0.1:${(upstream.address() as { port: number }).port}`;
  for (const options of [{ url }, { url, apiKey: "upstream-key" }]) {
    const server = await locked({ upstream: options });
    expect((await ask(server, "GET /v1/models", bearer(KEYS.read))).status).toBe(403);
    expect((await ask(server, "GET /v1/models", bearer(KEYS.inference))).status).toBe(200);
  }
  const open = await testServer({ upstream: { url } });
  const headers = bearer("somebody-else-s");
  await open.app.inject({ method: "GET", url: "/v1/models", headers });
  expect(seen).toEqual([undefined, "Bearer upstream-key", "Bearer somebody-else-s"]);
});

test("a request goes on with the key that it began with", async () => {
  const server = await locked();
  const { runner, service } = server;
  expect(runner).toBeDefined();
  await service.initValidate({ ...INIT_GENERATE });
  const body = JSON.stringify(PROOF);
  const headers = { "content-type": "application/json", ...bearer(KEYS.validate) };
  const answers = Array.from({ length: 20 }, () =>
    fetch(`${server.url}/api/v1/pow/validate`, { method: "POST", headers, body }),
  );
  const key = server.keyring?.keys.find(({ label }) => label === "the-validate");
  await vi.waitUntil(() => key?.usage.calls === 20, 10_000);
  server.keyring?.replace([]);
  expect((await Promise.all(answers)).map(({ status }) => status)).toEqual(Array(20).fill(200));
});

test("whoever asks is told what he may do, over REST and over tRPC", async () => {
  const server = await locked();
  const scopes = async (key: string, path: string) =>
    JSON.parse(await (await fetch(server.url + path, { headers: bearer(key) })).text());
  for (const [key, allowed] of [
    [KEYS.admin, ["admin", "validate", "read", "inference"]],
    [KEYS.read, ["read"]],
  ] as const) {
    expect((await scopes(key, "/api/v1/node/info")).scopes).toEqual(allowed);
    expect((await scopes(key, "/trpc/node.info")).result.data.scopes).toEqual(allowed);
  }
  const open = await testServer();
  expect((await open.get("/api/v1/node/info")).json().scopes).toHaveLength(4);
});
