import type { AddressInfo } from "node:net";
import { connect } from "node:net";
import type { AppRouter } from "@proofmill/client/trpc";
import { createTRPCClient, createWSClient, httpBatchLink, wsLink } from "@trpc/client";
import { expect, onTestFinished, test, vi } from "vitest";
import { WebSocket } from "ws";
import { INIT_GENERATE, type TestServer, testServer } from "../../test-support.ts";

interface Listening extends TestServer {
  url: string;
  port: number;
}

async function listening(options: Parameters<typeof testServer>[0] = {}): Promise<Listening> {
  const server = await testServer(options);
  const url = await server.app.listen({ host: "127.0.0.1", port: 0 });
  return { ...server, url, port: (server.app.server.address() as AddressInfo).port };
}

const http = (server: Listening) =>
  createTRPCClient<AppRouter>({ links: [httpBatchLink({ url: `${server.url}/trpc` })] });

function ws(server: Listening) {
  const client = createWSClient({
    url: `${server.url.replace("http", "ws")}/trpc`,
    WebSocket: WebSocket as never,
    lazy: { enabled: true, closeMs: 10_000 },
  });
  onTestFinished(() => client.close());
  return createTRPCClient<AppRouter>({ links: [wsLink({ client })] });
}

/** A bare socket, for what a well-behaved client does not do. */
async function socket(server: Listening, options: { origin?: string } = {}) {
  const client = new WebSocket(`${server.url.replace("http", "ws")}/trpc`, options);
  onTestFinished(() => client.terminate());
  const messages: { id?: number; result?: { type: string; id?: string; data?: unknown } }[] = [];
  client.on("message", (data) => messages.push(JSON.parse(String(data))));
  const closed = new Promise<[number, string]>((resolve) =>
    client.once("close", (code, reason) => resolve([code, String(reason)])),
  );
  const failed = new Promise<string>((resolve) =>
    client.once("error", ({ message }) => resolve(message)),
  );
  const opened = new Promise<string>((resolve) => client.once("open", () => resolve("open")));
  return { client, messages, closed, outcome: await Promise.race([opened, failed]) };
}

const subscribe = (id: number, path = "pow.onValidNonces", input?: object) =>
  JSON.stringify({ id, method: "subscription", params: { path, input } });

test("calls of one batch are answered together", async () => {
  const client = http(await listening());
  const [info, status] = await Promise.all([client.node.info.query(), client.pow.status.query()]);
  expect(info).toMatchObject({ model: "test-model", arithmetic: "fake-1", poc_enabled: true });
  expect(status).toMatchObject({ state: "IDLE" });
});

test("a batch that is too large is refused, over HTTP and over WebSocket", async () => {
  const server = await listening();
  const paths = Array.from({ length: 33 }, () => "pow.status").join(",");
  expect((await server.get(`/trpc/${paths}?batch=1`)).statusCode).toBe(400);
  const { client, messages } = await socket(server);
  const call = (id: number) => ({ id, method: "query", params: { path: "pow.status" } });
  client.send(JSON.stringify(Array.from({ length: 33 }, (_, i) => call(i))));
  await vi.waitUntil(() => messages.length === 33);
  expect(JSON.stringify(messages[0])).toContain("exceeds maximum size");
});

test("a refusal has core's code, its detail and the request's id", async () => {
  const server = await listening();
  const refused = await http(server)
    .pow.phaseGenerate.mutate()
    .catch((error) => error);
  expect(refused.data).toMatchObject({
    code: "BAD_REQUEST",
    httpStatus: 400,
    refusal: { code: "POC_NOT_INITIALIZED", detail: "PoC not initialized", retry_after: null },
    request_id: expect.stringMatching(/^[0-9A-Z]{26}$/),
  });
  const loading = await listening({ loaded: false });
  const answer = await loading.app.inject({ method: "POST", url: "/trpc/pow.init", payload: {} });
  expect(answer.statusCode).toBe(503);
  expect(answer.headers["retry-after"]).toBe("2");
});

test("a fault inside shows nothing of itself", async () => {
  const server = await listening();
  vi.spyOn(server.service, "stop").mockRejectedValue(new Error("secret path"));
  const answer = await server.app.inject({ method: "POST", url: "/trpc/pow.stop", payload: {} });
  expect(answer.statusCode).toBe(500);
  expect(answer.body).not.toMatch(/secret|stack/);
});

test("valid nonces over WebSocket, and the rest to one who comes back", async () => {
  const server = await listening({ distance: () => 0.25 });
  const { pow_status } = await ws(server).pow.initGenerate.mutate(INIT_GENERATE);
  const first = await socket(server);
  first.client.send(subscribe(1));
  await vi.waitUntil(() => first.messages.length >= 4, { timeout: 5000 });
  const events = first.messages.filter(({ result }) => result?.type === "data");
  expect(events[0]?.result).toMatchObject({
    id: `${pow_status.round_id}:0`,
    data: { data: { type: "round", block_hash: "hash1", r_target: 0.5 } },
  });
  const last = events.at(-1)?.result;
  first.client.terminate();
  const second = await socket(server);
  second.client.send(subscribe(1, "pow.onValidNonces", { lastEventId: last?.id }));
  await vi.waitUntil(() => second.messages.length >= 2, { timeout: 5000 });
  expect(second.messages[1]?.result?.data).toMatchObject({
    data: { type: "nonces", from: Number(last?.id?.split(":")[1]) },
  });
});

test("subscriptions over server-sent events go on after the last id", async () => {
  const server = await listening({ distance: () => 0.25 });
  await server.post("/init/generate", INIT_GENERATE);
  const abort = new AbortController();
  const read = async (headers: Record<string, string>) => {
    const { signal } = abort;
    const answer = await fetch(`${server.url}/trpc/pow.onValidNonces`, { headers, signal });
    expect(answer.headers.get("content-type")).toContain("text/event-stream");
    let text = "";
    for await (const chunk of answer.body ?? []) {
      text += new TextDecoder().decode(chunk);
      if (/id: \w+:[1-9]/.test(text)) return text;
    }
    return text;
  };
  const text = await read({ accept: "text/event-stream" });
  expect(text).toContain('"type":"round"');
  const id = /id: (\w+:[1-9]\d*)/.exec(text)?.[1] ?? "";
  const rest = await read({ accept: "text/event-stream", "last-event-id": id });
  expect(rest).not.toContain('"type":"round"');
  expect(rest).toContain(`"from":${id.split(":")[1]}`);
  abort.abort();
});

test("statuses count what the inference gate has refused", async () => {
  const server = await listening();
  await server.post("/init/validate", INIT_GENERATE);
  for (let i = 0; i < 3; i++) expect((await server.get("/v1/models")).statusCode).toBe(503);
  const { client, messages } = await socket(server);
  client.send(subscribe(1, "pow.onStatus"));
  await vi.waitUntil(() => messages.length >= 2);
  expect(messages[1]?.result?.data).toMatchObject({
    data: { state: "VALIDATING", inference_refused: 3, inference_aborted: 0 },
  });
});

test("nothing is left of a subscriber who is gone", async () => {
  const server = await listening();
  await server.post("/init/validate", INIT_GENERATE);
  let watching = 0;
  const watch = server.service.watchValidNonces.bind(server.service);
  vi.spyOn(server.service, "watchValidNonces").mockImplementation(async function* (options) {
    watching++;
    try {
      yield* watch(options);
    } finally {
      watching--;
    }
  });
  for (const leave of ["terminate", "close", "stop"] as const) {
    const { client, messages } = await socket(server);
    client.send(subscribe(7));
    await vi.waitUntil(() => messages.length >= 2);
    expect(watching).toBe(1);
    if (leave === "stop") client.send(JSON.stringify({ id: 7, method: "subscription.stop" }));
    else client[leave]();
    await vi.waitUntil(() => watching === 0);
  }
  const abort = new AbortController();
  await fetch(`${server.url}/trpc/pow.onValidNonces`, { signal: abort.signal });
  await vi.waitUntil(() => watching === 1);
  abort.abort();
  await vi.waitUntil(() => watching === 0);
});

test("each quiet socket is pinged once, not twice", async () => {
  const intervals: number[] = [];
  const set = globalThis.setTimeout;
  vi.spyOn(globalThis, "setTimeout").mockImplementation(((handler: () => void, ms?: number) => {
    if (ms === 30_000) intervals.push(ms);
    return set(handler, ms);
  }) as typeof setTimeout);
  onTestFinished(() => void vi.restoreAllMocks());
  await socket(await listening());
  expect(intervals).toEqual([30_000]);
});

test("a message that is too large, and one that is no JSON", async () => {
  const server = await listening();
  const large = await socket(server);
  large.client.send("x".repeat(2 * 1024 * 1024));
  expect((await large.closed)[0]).toBe(1009);
  const broken = await socket(server);
  for (const text of ["", "{", "null", "[]", '{"id":1}', '{"id":{},"method":"query"}']) {
    broken.client.send(text);
  }
  broken.client.send(Buffer.from([0xff, 0xfe]));
  broken.client.send(JSON.stringify({ id: 9, method: "query", params: { path: "pow.status" } }));
  await vi.waitUntil(() => broken.messages.some(({ id }) => id === 9));
  expect(JSON.stringify(broken.messages)).not.toContain("stack");
});

test("too many subscriptions on one socket are refused, the others go on", async () => {
  const server = await listening();
  const { client, messages } = await socket(server);
  for (let id = 0; id < 65; id++) client.send(subscribe(id, "pow.onStatus"));
  await vi.waitUntil(() => JSON.stringify(messages).includes("TOO_MANY_REQUESTS"));
  client.send(JSON.stringify({ id: 0, method: "subscription.stop" }));
  await vi.waitUntil(() =>
    messages.some(({ id, result }) => id === 0 && result?.type === "stopped"),
  );
  const before = messages.length;
  client.send(subscribe(100, "pow.onStatus"));
  await vi.waitUntil(() => messages.slice(before).some(({ id, result }) => id === 100 && result));
});

test("foreign pages are refused, allowed ones and programs are not", async () => {
  const server = await listening({
    allowOrigin: ["https://dashboard.example"],
    allowHost: ["node.example"],
  });
  expect((await socket(server, { origin: "https://evil.example" })).outcome).toContain("403");
  expect((await socket(server, { origin: "https://dashboard.example" })).outcome).toBe("open");
  expect((await socket(server, { origin: server.url })).outcome).toBe("open");
  expect((await socket(server)).outcome).toBe("open");
  const stop = (origin: string, path: string) =>
    server.app.inject({ method: "POST", url: path, headers: { origin, host: "node.example" } });
  for (const path of ["/api/v1/pow/stop", "/trpc/pow.stop"]) {
    expect((await stop("https://evil.example", path)).statusCode).toBe(403);
    // A name that its owner has made to lead here.
    expect((await stop("http://node.example", path)).statusCode).toBe(403);
  }
  const allowed = await stop("https://dashboard.example", "/api/v1/pow/stop");
  expect(allowed.statusCode).toBe(200);
  expect(allowed.headers["access-control-allow-origin"]).toBe("https://dashboard.example");
});

test("an offer to upgrade to HTTP/2 is declined and the request answered", async () => {
  const server = await listening();
  const body = JSON.stringify({ ...INIT_GENERATE, node_id: -1 });
  const client = connect(server.port, "127.0.0.1");
  onTestFinished(() => void client.destroy());
  client.write(
    "POST /api/v1/pow/init HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\n" +
      "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n" +
      `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body.slice(0, 9)}`,
  );
  setTimeout(() => client.write(body.slice(9)), 50);
  let text = "";
  client.on("data", (chunk) => {
    text += chunk;
  });
  await vi.waitUntil(() => text.includes("pow_status"));
  expect(text).toMatch(/^HTTP\/1.1 200 /);
});

test("the end of the node tells every client to come back, and closes its socket", async () => {
  const server = await listening();
  const { client, messages, closed } = await socket(server);
  client.send(subscribe(1));
  await vi.waitUntil(() => messages.length > 0);
  await server.app.close();
  expect(await closed).toEqual([1001, "the node is shutting down"]);
  expect(messages.at(-1)).toEqual({ id: null, method: "reconnect" });
});
