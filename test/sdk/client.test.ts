import { once } from "node:events";
import { createServer } from "node:http";
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from "node:net";
import {
  ConnectionError,
  createPocClient,
  ForbiddenError,
  InvalidRequestError,
  NodeError,
  NotANodeError,
  type PocClient,
  type PocResponse,
  RoundError,
  TimeoutError,
  TooLargeError,
  UnavailableError,
  type ValidNoncesEvent,
} from "@proofmill/client";
import { expect, onTestFinished, test, vi } from "vitest";
import { INIT, PROOF, startFakeNode } from "../fake-node.ts";
import { listen } from "../helpers.ts";

const BODY = { ...INIT, r_target: 3 };

/** Counts the attempts of one call. */
async function attempts(url: string, call: (client: PocClient) => Promise<unknown>) {
  let count = 0;
  const counting: typeof fetch = (...request) => {
    count++;
    return fetch(...request);
  };
  const error = await call(createPocClient({ url, fetch: counting, timeoutMs: 300 })).then(
    () => null,
    (thrown) => thrown,
  );
  return { count, error };
}

test("a round from start to verdict", async () => {
  const { url } = await startFakeNode();
  const client = createPocClient({ url: `${url}/` });
  expect(await client.nodeInfo()).toMatchObject({ arithmetic: "fake-1", hidden_size: 8 });
  expect((await client.init({ ...BODY, node_id: -1, node_count: -1 })).pow_status.state).toBe(
    "IDLE",
  );
  expect((await client.initGenerate(BODY)).pow_status.state).toBe("GENERATING");
  await vi.waitUntil(async () => (await client.status({ limit: 1 })).total_valid >= 10);
  expect((await client.phaseValidate()).pow_status.state).toBe("VALIDATING");
  expect((await client.phaseGenerate()).pow_status.state).toBe("GENERATING");
  expect((await client.stop()).pow_status.state).toBe("STOPPED");
  expect((await client.status({ since: 2, limit: 3 })).valid_nonces).toEqual([2, 3, 4]);
  const answer = await client.validate(PROOF);
  expect(answer).toMatchObject({ nonces: [0, 1, 2], n_invalid: 0, fraud_detected: false });
  expect((await client.initValidate(BODY)).pow_status.state).toBe("VALIDATING");
});

test("an error for each kind, with status, code and the request's id", async () => {
  const { url } = await startFakeNode();
  const client = createPocClient({ url });
  const thrown = (promise: Promise<unknown>) =>
    promise.then(
      () => null,
      (error) => error,
    );
  const refused = await thrown(client.phaseGenerate());
  expect(refused).toBeInstanceOf(RoundError);
  expect(refused).toMatchObject({
    status: 400,
    code: "POC_NOT_INITIALIZED",
    message: "PoC not initialized",
    requestId: expect.stringMatching(/^\w{26}$/),
  });
  const invalid = await thrown(client.init({ ...BODY, block_height: "1" as never }));
  expect(invalid).toBeInstanceOf(InvalidRequestError);
  expect(invalid.issues).toEqual([
    { type: "int_type", loc: ["body", "block_height"], msg: expect.any(String), input: "1" },
  ]);
  await client.init(BODY);
  const nonces = Array.from({ length: 5000 }, (_, i) => i);
  const long = await thrown(client.validate({ ...PROOF, nonces, dist: nonces }));
  expect(long).toBeInstanceOf(TooLargeError);
  const { url: off } = await startFakeNode({ enablePoc: false });
  const unavailable = await thrown(createPocClient({ url: off }).status());
  expect(unavailable).toBeInstanceOf(UnavailableError);
  expect(unavailable).toMatchObject({ code: "POC_NOT_ENABLED", retryAfter: null });
});

test("each answer is told with its request's id, whether it succeeds or is refused", async () => {
  const { url } = await startFakeNode();
  const heard: PocResponse[] = [];
  const client = createPocClient({ url, onResponse: (response) => heard.push(response) });
  await client.status({ limit: 1 });
  const refused = await client.phaseGenerate().catch((error) => error);
  const requestId = expect.stringMatching(/^\w{26}$/);
  expect(heard).toEqual([
    { method: "status", status: 200, requestId },
    { method: "phaseGenerate", status: 400, requestId: refused.requestId },
  ]);
  expect(heard[0]?.requestId).not.toBe(refused.requestId);
  const own: PocResponse[] = [];
  await client.stop({ onResponse: (response) => own.push(response) });
  expect([heard.length, own]).toEqual([2, [{ method: "stop", status: 200, requestId }]]);
});

test("a caller that the node does not answer to is told why", async () => {
  const { url } = await startFakeNode();
  const foreign: typeof fetch = (to, init) =>
    fetch(to, { ...init, headers: { ...init?.headers, origin: "https://evil.example" } });
  const client = createPocClient({ url, fetch: foreign });
  const error = await client.stop().catch((error) => error);
  expect(error).toBeInstanceOf(ForbiddenError);
  expect(error).toMatchObject({ status: 403, message: "Origin not allowed" });
});

test("an address that is no node's", async () => {
  for (const url of ["localhost:8000", "ftp://a", "nonsense", ""]) {
    expect(() => createPocClient({ url })).toThrow(/expected a node's base address/);
  }
  for (const url of ["http://user:pw@127.0.0.1:8000", "http://:pw@127.0.0.1:8000"]) {
    expect(() => createPocClient({ url })).toThrow(/credentials .* are not sent; use apiKey/);
  }
  const url = await listen(createServer((_, response) => response.end("<html>")));
  expect((await attempts(url, (client) => client.status())).error).toBeInstanceOf(NotANodeError);
  const { url: node } = await startFakeNode();
  const tooDeep = await attempts(`${node}/api/v1/pow`, (client) => client.status());
  expect(tooDeep.error).toBeInstanceOf(NotANodeError);
  expect(tooDeep).toMatchObject({
    count: 1,
    error: { message: expect.stringContaining("base address") },
  });
});

test("only what is safe to repeat is repeated when a connection breaks", async () => {
  const url = await listen(createServer((request) => request.socket.destroy()));
  for (const safe of [
    "status",
    "nodeInfo",
    "nodeHistory",
    "nodeEvents",
    "stop",
    "phaseGenerate",
    "phaseValidate",
  ] as const) {
    const { count, error } = await attempts(url, (client) => client[safe]());
    expect([safe, count]).toEqual([safe, 3]);
    expect(error).toBeInstanceOf(ConnectionError);
  }
  expect((await attempts(url, (client) => client.initGenerate(BODY))).count).toBe(3);
  expect((await attempts(url, (client) => client.init(BODY))).count).toBe(1);
  expect((await attempts(url, (client) => client.validate(PROOF))).count).toBe(1);
});

test("what nobody has heard is repeated in any case", async () => {
  const server = createServer();
  const url = await listen(server);
  await new Promise((resolve) => server.close(resolve));
  expect(await attempts(url, (client) => client.init(BODY))).toMatchObject({
    count: 3,
    error: { code: "CONNECTION", message: expect.stringContaining("ECONNREFUSED") },
  });
});

test("a node that is not ready is asked again when it said so", async () => {
  let refusals = 2;
  const error = (retry_after: number | null) =>
    JSON.stringify({
      error: {
        message: "Model is loading",
        code: -32603,
        data: {
          code: "SERVICE_UNAVAILABLE",
          httpStatus: 503,
          refusal: { code: "MODEL_LOADING", detail: "Model is loading", retry_after },
          request_id: "r1",
        },
      },
    });
  const url = await listen(
    createServer((_, response) => {
      response.setHeader("content-type", "application/json");
      if (refusals-- > 0) response.writeHead(503).end(error(0.05));
      else response.end('{"result":{"data":"done"}}');
    }),
  );
  expect(await attempts(url, (client) => client.init(BODY))).toEqual({ count: 3, error: null });
  refusals = 3;
  expect(await attempts(url, (client) => client.init(BODY))).toMatchObject({
    count: 3,
    error: { code: "MODEL_LOADING", requestId: "r1", retryAfter: 0.05 },
  });
});

test("time limits and signals end a call, for each call too", async () => {
  const url = await listen(createServer(() => {}));
  const slow = await attempts(url, (client) => client.validate(PROOF));
  expect(slow).toMatchObject({ count: 1, error: { code: "TIMEOUT" } });
  expect(slow.error).toBeInstanceOf(TimeoutError);
  expect(
    await attempts(url, (client) => client.status({}, { retries: 0, timeoutMs: 50 })),
  ).toMatchObject({
    count: 1,
    error: { message: expect.stringContaining("within 50 ms") },
  });
  const abort = new AbortController();
  const aborted = attempts(url, (client) => client.status({}, { signal: abort.signal }));
  const reason = new Error("enough");
  abort.abort(reason);
  expect((await aborted).error).toBe(reason);
});

test("a proxy whose node is away", async () => {
  const url = await listen(createServer((_, response) => response.writeHead(502).end("<html>")));
  const { count, error } = await attempts(url, (client) => client.status());
  expect(count).toBe(3);
  expect(error).toBeInstanceOf(NodeError);
  expect(error.status).toBe(502);
});

/** A way to the node that can be cut. */
async function proxy(port: number) {
  const open = new Set<Socket>();
  const server = createTcpServer((socket) => {
    const onward = connect(port, "127.0.0.1");
    open.add(socket);
    socket.pipe(onward).pipe(socket);
    const end = () => {
      open.delete(socket);
      socket.destroy();
      onward.destroy();
    };
    for (const each of [socket, onward]) each.on("error", end).on("close", end);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const cut = () => {
    for (const socket of open) socket.destroy();
  };
  onTestFinished(() => {
    cut();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, cut, open };
}

interface Found {
  rounds: string[];
  nonces: Record<string, number[]>;
  events: ValidNoncesEvent[];
}

/** Follows until `done`, and checks that nothing comes twice or out of order. */
async function follow(
  client: PocClient,
  options: { signal: AbortSignal; found: Found; lastEventId?: string },
) {
  const { found, ...rest } = options;
  for await (const event of client.watchValidNonces(rest)) {
    found.events.push(event);
    if (event.type === "round") {
      found.rounds.push(event.round_id);
      found.nonces[event.round_id] = [];
      continue;
    }
    const list = found.nonces[event.round_id] ?? [];
    found.nonces[event.round_id] = list;
    expect(event.from).toBe(list.length);
    expect(event.id).toBe(`${event.round_id}:${event.from + event.nonces.length}`);
    list.push(...event.nonces);
  }
}

const nothing = (): Found => ({ rounds: [], nonces: {}, events: [] });

test("a subscriber who is cut off fifty times has the same list as one who never was", async () => {
  const { url } = await startFakeNode();
  const way = await proxy(Number(new URL(url).port));
  const abort = new AbortController();
  const [cut, whole] = [nothing(), nothing()];
  const following = Promise.all([
    follow(createPocClient({ url: way.url }), { signal: abort.signal, found: cut }),
    follow(createPocClient({ url }), { signal: abort.signal, found: whole }),
  ]);
  const client = createPocClient({ url });
  await client.initGenerate(BODY);
  for (let i = 0; i < 50; i++) {
    const before = cut.events.length;
    await vi.waitUntil(() => way.open.size > 0 && cut.events.length > before, { timeout: 10_000 });
    way.cut();
    if (i === 25) await client.initGenerate({ ...BODY, block_hash: "next" });
  }
  const { pow_status } = await client.stop();
  const last = pow_status.round_id ?? "";
  await vi.waitUntil(() => cut.nonces[last]?.length === pow_status.total_valid, {
    timeout: 10_000,
  });
  await vi.waitUntil(() => whole.nonces[last]?.length === pow_status.total_valid);
  abort.abort();
  await following;
  expect(cut.rounds).toHaveLength(2);
  expect(cut.nonces).toEqual(whole.nonces);
  expect(cut.nonces[last]).toEqual(pow_status.valid_nonces);
});

test("a reader who is slow, and one who comes back with an id, get everything once", async () => {
  const { url } = await startFakeNode();
  const client = createPocClient({ url });
  await client.initGenerate(BODY);
  const abort = new AbortController();
  const events: ValidNoncesEvent[] = [];
  for await (const event of client.watchValidNonces({ signal: abort.signal })) {
    events.push(event);
    if (events.length === 3) await new Promise((resolve) => setTimeout(resolve, 500));
    if (events.length === 6) break; // leaving the loop is an end too
  }
  const { pow_status } = await client.stop();
  const found = nothing();
  const round = pow_status.round_id ?? "";
  found.nonces[round] = events.flatMap((event) => (event.type === "nonces" ? event.nonces : []));
  const lastEventId = events.at(-1)?.id ?? "";
  const following = follow(client, { signal: abort.signal, found, lastEventId });
  await vi.waitUntil(() => found.nonces[round]?.length === pow_status.total_valid);
  abort.abort();
  await following;
  expect(found.nonces[round]).toEqual(pow_status.valid_nonces);
});

test("a watch survives the node: what was stored goes on where it was", async () => {
  const first = await startFakeNode();
  const port = Number(new URL(first.url).port);
  const client = createPocClient({ url: first.url });
  const abort = new AbortController();
  const found = nothing();
  const following = follow(client, { signal: abort.signal, found });
  const { pow_status } = await client.initGenerate(BODY);
  const round = pow_status.round_id ?? "";
  await vi.waitUntil(() => (found.nonces[round]?.length ?? 0) > 20);
  await first.close();
  await startFakeNode({ port, dataDir: first.config.dataDir });
  const before = (await client.status()).total_valid;
  expect(before).toBeGreaterThan(20);
  await client.phaseGenerate();
  await vi.waitUntil(() => (found.nonces[round]?.length ?? 0) > before, { timeout: 10_000 });
  const { valid_nonces } = (await client.stop()).pow_status;
  await vi.waitUntil(() => found.nonces[round]?.length === valid_nonces.length);
  expect(found.rounds).toEqual([round]);
  expect(found.nonces[round]).toEqual(valid_nonces);
  abort.abort();
  await following;
});

test("statuses come at once and as they change, and end with the signal", async () => {
  const { url } = await startFakeNode();
  const client = createPocClient({ url });
  const abort = new AbortController();
  const states: string[] = [];
  for await (const { id, state } of client.watchStatus({ signal: abort.signal })) {
    expect(id).toMatch(/^\d+$/);
    if (states.at(-1) !== state) states.push(state);
    if (state === "IDLE") await client.initGenerate(BODY);
    else if (state === "GENERATING") await client.stop();
    else abort.abort();
  }
  expect(states).toEqual(["IDLE", "GENERATING", "STOPPED"]);
});

test("what asking again would not mend is thrown", async () => {
  const { url } = await startFakeNode();
  const events = createPocClient({ url }).watchValidNonces({ lastEventId: "nonsense" });
  await expect(events.next()).rejects.toBeInstanceOf(InvalidRequestError);
  const { url: off } = await startFakeNode({ enablePoc: false });
  const statuses = createPocClient({ url: off }).watchStatus();
  await expect(statuses.next()).rejects.toMatchObject({ code: "POC_NOT_ENABLED" });
});

test("a watch that is ended before anybody answers ends", async () => {
  const server = createServer();
  const url = await listen(server);
  await new Promise((resolve) => server.close(resolve));
  const abort = new AbortController();
  const next = createPocClient({ url }).watchStatus({ signal: abort.signal }).next();
  setTimeout(() => abort.abort(), 100);
  expect(await next).toEqual({ done: true, value: undefined });
});
