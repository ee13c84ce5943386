import { createHmac } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Logger } from "@proofmill/core";
import { expect, onTestFinished, test, vi } from "vitest";
import { SqliteStore } from "../store/sqlite.ts";
import { createPoster, endpoint, type PosterOptions, refusingLookup } from "./request.ts";
import { CallbackSender, type SenderOptions } from "./sender.ts";

interface Received {
  path: string;
  headers: IncomingHttpHeaders;
  text: string;
  body: { nonces: number[]; block_hash: string; artifacts: { nonce: number }[] };
  at: number;
}

type Answer = (response: ServerResponse, request: Received) => void;

const ok: Answer = (response) => response.end("{}");

/** An aggregator that answers as it is told. */
async function aggregator(port = 0) {
  const received: Received[] = [];
  const waiting = new Set<() => void>();
  const state = { answer: ok };
  const server = createServer(async (request, response) => {
    let text = "";
    for await (const chunk of request.setEncoding("utf8")) text += chunk;
    const { url: path = "", headers } = request;
    const one = { path, headers, text, body: JSON.parse(text), at: performance.now() };
    received.push(one);
    state.answer(response, one);
    for (const check of waiting) check();
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const close = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  onTestFinished(async () => void (await close()));
  const address = server.address() as AddressInfo;
  return {
    received,
    state,
    close,
    port: address.port,
    url: `http://127.0.0.1:${address.port}/pow`,
    /** Resolves when so many requests have come. */
    async until(count: number) {
      while (received.length < count) {
        await new Promise<void>((resolve) => {
          waiting.add(resolve);
        });
      }
    },
  };
}

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} };

async function start(options: Partial<SenderOptions> & PosterOptions = {}, folder?: string) {
  const path = folder ?? mkdtempSync(join(tmpdir(), "proofmill-"));
  const store = await SqliteStore.open({ folder: path });
  const sender = await CallbackSender.start({
    outbox: store,
    poster: createPoster({ timeout: 500, ...options }),
    interval: 50,
    maxNonces: 100,
    maxAge: 60_000,
    log: silent,
    ...options,
  });
  const end = async () => {
    await sender.close();
    await store.close();
  };
  onTestFinished(async () => {
    await end();
    rmSync(path, { recursive: true, force: true });
  });
  return { store, sender, folder: path, end };
}

let rounds = 0;

async function round(store: SqliteStore, callback_url: string, block_hash = "abc123") {
  const round_id = `round-${rounds++}`;
  const config = {
    ...{ block_hash, block_height: 7, public_key: "node1", r_target: 3, fraud_threshold: 0.01 },
    ...{ node_id: 0, node_count: 1, batch_size: 32, seq_len: 256, callback_url },
  };
  await store.create({ round_id, scheme: "distance", config });
  let position = 0;
  return {
    round_id,
    async find(count: number) {
      const from = position;
      position += count;
      const nonces = Array.from({ length: count }, (_, i) => from + i);
      await store.append(round_id, {
        ...{ from, nonces, records: nonces.map((nonce) => nonce / 4), arithmetic: "cpu-1" },
        counters: {
          position,
          total_nonfinite: 0,
          elapsed_seconds: 1,
          generating_seconds: 1,
          searched_with: null,
        },
      });
    },
  };
}

const VERDICT = { scheme: "distance", kind: "validated" } as const;
const verdict = (node_id: number) => ({
  ...{ public_key: "other", block_hash: "abc123", block_height: 7, nonces: [1], dist: [1] },
  ...{
    node_id,
    round_id: "a",
    received_dist: [1],
    r_target: 3,
    fraud_threshold: 0.01,
    n_invalid: 0,
  },
  ...{ probability_honest: 1, fraud_detected: false, arithmetic: "cpu-1" },
});

const all = (received: readonly Received[]) => received.flatMap(({ body }) => body.nonces);
const upTo = (count: number) => Array.from({ length: count }, (_, i) => i);
const drained = (store: SqliteStore) =>
  vi.waitUntil(
    async () => {
      const { nonces, verdicts } = await store.pending();
      return nonces + verdicts === 0;
    },
    { timeout: 10_000 },
  );

test("finds go out as a proof, and what waits is merged", async () => {
  const { url, received, until } = await aggregator();
  // Ten times as long as five writes take.
  const { store, sender } = await start({ interval: 2000 });
  const { round_id, find } = await round(store, url);
  await find(2);
  await until(1);
  for (let i = 0; i < 5; i++) await find(3);
  await until(2);
  expect(received.map(({ path, body }) => [path, body])).toEqual([
    [
      "/pow/generated",
      {
        ...{ public_key: "node1", block_hash: "abc123", block_height: 7, node_id: 0 },
        ...{ nonces: [0, 1], dist: [0, 0.25], arithmetic: "cpu-1", round_id, r_target: 3 },
      },
    ],
    ["/pow/generated", expect.objectContaining({ nonces: upTo(17).slice(2) })],
  ]);
  await drained(store);
  expect(sender.counters).toMatchObject({ delivered_nonces: 17, failed_requests: 0 });
});

test("a full request is followed by the next at once", async () => {
  const { url, received, until } = await aggregator();
  const { store } = await start({ interval: 60_000, maxNonces: 10 });
  await (await round(store, url)).find(25);
  await until(3);
  expect(received.map(({ body }) => body.nonces.length)).toEqual([10, 10, 5]);
});

test("verdicts are never merged", async () => {
  const { url, received, until } = await aggregator();
  const { store, sender } = await start();
  for (const node_id of [1, 2, 3]) {
    await store.enqueue({ ...VERDICT, callback_url: url, batch: verdict(node_id) });
  }
  await until(3);
  expect(received.map(({ path, body }) => [path, body])).toEqual(
    [1, 2, 3].map((node_id) => ["/pow/validated", verdict(node_id)]),
  );
  await drained(store);
  expect(sender.counters.delivered_verdicts).toBe(3);
});

const wrong: [string, Answer][] = [
  ["answers 500", (response) => response.writeHead(500).end("no")],
  ["answers 404", (response) => response.writeHead(404).end()],
  ["redirects", (response) => response.writeHead(307, { location: "/elsewhere" }).end()],
  ["hangs", () => {}],
  ["closes at once", (response) => void response.destroy()],
  [
    "closes in the middle of its answer",
    (response) => {
      response.writeHead(200, { "content-length": 100 });
      response.write("half", () => response.destroy());
    },
  ],
  [
    "closes in the middle of a long answer",
    (response) => {
      response.writeHead(200, { "content-length": 10_000_000 });
      response.write("x".repeat(70_000), () => response.destroy());
    },
  ],
  [
    "resets the connection in the middle of an answer without a length",
    (response) => {
      const { socket } = response;
      socket?.write("HTTP/1.1 200 OK\r\n\r\nhalf", () =>
        setTimeout(() => socket.resetAndDestroy(), 20),
      );
    },
  ],
  [
    "stops in the middle of a long answer",
    (response) => {
      response.writeHead(200, { "content-length": 10_000_000 });
      response.write("x".repeat(70_000));
    },
  ],
];

test.each(wrong)("one that %s has acknowledged nothing, and gets it again", async (_, answer) => {
  const { url, received, state, until } = await aggregator();
  const { store, sender } = await start();
  state.answer = answer;
  const { find } = await round(store, url);
  await find(2);
  await until(1);
  await find(2);
  await vi.waitUntil(() => sender.counters.failed_requests > 0, { timeout: 10_000 });
  expect(await store.pending()).toEqual({ nonces: 4, verdicts: 0 });
  state.answer = ok;
  await drained(store);
  expect(received.map(({ path }) => path)).not.toContain("/elsewhere");
  expect(received.at(-1)?.body.nonces).toEqual(upTo(4)); // merged while they waited
});

/** Answers 413 above so many bytes. */
const limitedTo =
  (bytes: number): Answer =>
  (response, { text }) =>
    response.writeHead(text.length > bytes ? 413 : 200).end();
const taken = (received: readonly Received[], bytes: number) =>
  received.filter(({ text }) => text.length <= bytes);

test("one that takes 5 kB at once gets every find once, in portions that it takes", async () => {
  const { url, received, state } = await aggregator();
  const { store, sender } = await start({ maxNonces: 1000 });
  state.answer = limitedTo(5000);
  const { find } = await round(store, url);
  await find(8824);
  await drained(store);
  expect(all(taken(received, 5000))).toEqual(upTo(8824));
  expect(received.filter(({ text }) => text.length > 5000)).toHaveLength(2);
  expect(sender.counters).toMatchObject({ delivered_nonces: 8824, failed_requests: 2 });
  // What it takes is remembered when nothing has been due for a while, and for another round.
  const known = received.length;
  await (await round(store, url, "next")).find(2000);
  await drained(store);
  expect(received.slice(known).every(({ text }) => text.length <= 5000)).toBe(true);
  expect(all(received.slice(known))).toEqual(upTo(2000));
});

test("one that takes a few finds at once gets them all", async () => {
  const { url, received, state } = await aggregator();
  const { store } = await start({ maxNonces: 1000 });
  state.answer = limitedTo(300);
  await (await round(store, url)).find(200);
  await drained(store);
  expect(all(taken(received, 300))).toEqual(upTo(200));
  expect(received.length - taken(received, 300).length).toBeLessThanOrEqual(10);
});

test("a single find that is too large waits like any failure, and so does a verdict", async () => {
  const { url, received, state } = await aggregator();
  const { store, sender } = await start();
  state.answer = limitedTo(10);
  await (await round(store, url)).find(4);
  await store.enqueue({ ...VERDICT, callback_url: url, batch: verdict(1) });
  await vi.waitUntil(() => sender.counters.failed_requests >= 4, { timeout: 10_000 });
  // Halved twice at once; then pauses of half a second and more.
  expect(received.length).toBeLessThanOrEqual(6);
  expect(await store.pending()).toEqual({ nonces: 4, verdicts: 1 });
  state.answer = ok;
  await drained(store);
});

/** Answers nothing, and cuts the connection, as soon as more than so many bytes have come. */
async function cuttingAggregator(bytes: number, cut: (socket: Socket) => void) {
  const received: number[][] = [];
  const state = { cuts: 0 };
  const server = createServer(async (request, response) => {
    let text = "";
    for await (const chunk of request.setEncoding("utf8")) {
      text += chunk;
      if (text.length <= bytes) continue;
      state.cuts++;
      return cut(request.socket);
    }
    received.push(JSON.parse(text).nonces);
    response.end();
  });
  server.on("clientError", () => {});
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { received, state, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

test.each<[string, (socket: Socket) => void]>([
  ["resets the connection", (socket) => void socket.resetAndDestroy()],
  ["closes the connection", (socket) => void socket.destroy()],
  [
    "answers 413 and closes the connection",
    (socket) => socket.end("HTTP/1.1 413 Too Large\r\nConnection: close\r\n\r\n"),
  ],
  ["reads no further", (socket) => void socket.pause()],
])("one that %s in the middle of a long body gets every find in shorter ones", async (_, cut) => {
  const { url, received, state } = await cuttingAggregator(20_000, cut);
  const { store } = await start({ maxNonces: 4000 });
  await (await round(store, url)).find(8000); // requests of 50 kB at first
  await drained(store);
  expect(received.flat()).toEqual(upTo(8000));
  expect(state.cuts).toBeLessThanOrEqual(2);
});

test("a long answer that comes whole acknowledges", async () => {
  const { url, received, state, until } = await aggregator();
  const { store, sender } = await start({ timeout: 10_000 });
  state.answer = (response) => response.end("x".repeat(10_000_000));
  await (await round(store, url)).find(2);
  await until(1);
  await drained(store);
  expect(received).toHaveLength(1);
  expect(sender.counters).toMatchObject({ delivered_nonces: 2, failed_requests: 0 });
});

test("one that is down for the whole round gets every find when it is back", async () => {
  const down = await aggregator();
  await down.close();
  const first = await start();
  const { find } = await round(first.store, down.url);
  for (let i = 0; i < 5; i++) await find(30);
  await vi.waitUntil(() => first.sender.counters.failed_requests > 0, { timeout: 10_000 });
  await first.end(); // the node too ends before anything is delivered
  const up = await aggregator(down.port);
  const { store } = await start({}, first.folder);
  await drained(store);
  expect(all(up.received)).toEqual(upTo(150));
});

test("a round that is always refused holds no other up", async () => {
  const { url, received, state } = await aggregator();
  const { store } = await start();
  state.answer = (response, { body }) =>
    response.writeHead(body.block_hash === "bad" ? 422 : 200).end();
  await (await round(store, url, "bad")).find(2);
  const { find } = await round(store, url, "good");
  for (let i = 0; i < 3; i++) {
    await find(2);
    await vi.waitUntil(
      () => all(received.filter(({ body }) => body.block_hash === "good")).length === 2 * (i + 1),
      { timeout: 10_000 },
    );
  }
  // What was received is acknowledged a moment later.
  await vi.waitFor(async () => expect(await store.pending()).toEqual({ nonces: 2, verdicts: 0 }), {
    timeout: 10_000,
  });
});

test("what was received is not sent again when only the store could not take that in", async () => {
  const { url, received } = await aggregator();
  const { store, sender } = await start();
  const acknowledge = vi.spyOn(store, "acknowledge");
  for (const _ of ["finds", "a verdict"]) {
    acknowledge.mockRejectedValueOnce(new Error("the disk is full"));
  }
  await (await round(store, url)).find(3);
  await store.enqueue({ ...VERDICT, callback_url: url, batch: verdict(1) });
  await drained(store);
  expect(received.map(({ path }) => path).sort()).toEqual(["/pow/generated", "/pow/validated"]);
  expect(sender.counters).toMatchObject({ delivered_nonces: 3, delivered_verdicts: 1 });
});

test("a success wakes what waits for the same URL", async () => {
  const { url, received, state, until } = await aggregator();
  const { store, sender } = await start();
  state.answer = (response) => response.writeHead(500).end();
  await (await round(store, url)).find(2);
  await vi.waitUntil(() => sender.counters.failed_requests >= 3, { timeout: 10_000 });
  const failed = received.length; // by now the next pause is of two seconds and more
  state.answer = ok;
  const begin = performance.now();
  await store.enqueue({ ...VERDICT, callback_url: url, batch: verdict(1) });
  await until(failed + 2);
  expect(performance.now() - begin).toBeLessThan(1500);
  await drained(store);
});

test("what is too old is given up with a counter and a word in the log", async () => {
  const { url, close } = await aggregator();
  await close();
  const first = await start();
  await (await round(first.store, url)).find(3);
  await first.store.enqueue({ ...VERDICT, callback_url: url, batch: verdict(1) });
  await first.end();
  const errors: string[] = [];
  const log = { ...silent, error: (_: object, message: string) => errors.push(message) };
  const { sender } = await start({ maxAge: 0, log }, first.folder);
  expect(sender.counters).toMatchObject({ given_up_nonces: 3, given_up_verdicts: 1 });
  expect(errors).toEqual(["callbacks given up: too old"]);
});

/** So many receivers, and how many connections they have, at the most and now. */
async function crowd(count: number) {
  const open = { now: 0, most: 0 };
  const sockets = new Set<Socket>();
  const servers = Array.from({ length: count }, () =>
    createServer({ keepAliveTimeout: 600_000 }).on("connection", (socket: Socket) => {
      sockets.add(socket);
      open.most = Math.max(open.most, ++open.now);
      socket.on("error", () => {}).once("close", () => open.now--);
    }),
  );
  onTestFinished(() => {
    for (const server of servers) server.close().closeAllConnections();
  });
  for (const server of servers) await once(server.listen(0, "127.0.0.1"), "listening");
  const url = (server: (typeof servers)[number]) =>
    `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  return { open, servers, urls: servers.map(url) };
}

test("receivers that hang have few connections together, and keep no known one waiting", async () => {
  const { store, sender } = await start({ timeout: 10_000 });
  const [known, other, hanging] = [await aggregator(), await aggregator(), await crowd(80)];
  await store.enqueue({ ...VERDICT, callback_url: known.url, batch: { number: 1 } });
  await known.until(1);
  for (const callback_url of hanging.urls) {
    await store.enqueue({ ...VERDICT, callback_url, batch: {} });
  }
  await vi.waitUntil(() => hanging.open.now >= 24);
  await store.enqueue({ ...VERDICT, callback_url: known.url, batch: { number: 2 } });
  await known.until(2);
  await (await round(store, other.url)).find(3);
  await other.until(1);
  expect(hanging.open.most).toBe(24);
  await vi.waitUntil(async () => (await sender.info()).pending_nonces === 0);
  expect((await sender.info()).pending_verdicts).toBe(80);
  await sender.close(); // waits for nobody who has no place
  expect(hanging.open.most).toBe(24);
});

test("whoever waits for a place gets one, and few connections are kept", async () => {
  const { store, sender } = await start({ timeout: 10_000 });
  const { servers, urls, open } = await crowd(100);
  for (const server of servers) {
    server.on("request", (request, response) => {
      response.setHeader("keep-alive", "timeout=600");
      request.resume().once("end", () => response.end("{}"));
    });
  }
  for (const callback_url of urls) await store.enqueue({ ...VERDICT, callback_url, batch: {} });
  await vi.waitUntil(async () => (await sender.info()).pending_verdicts === 0, 10_000);
  expect(sender.counters.delivered_verdicts).toBe(100);
  await vi.waitUntil(() => open.now <= 64);
});

test("whoever waits for a slow host's connection has its whole time once it has one", async () => {
  const { url, state } = await aggregator();
  state.answer = (response) => void setTimeout(() => response.end("{}"), 100);
  const { store, sender } = await start({ timeout: 1000 });
  for (let i = 0; i < 30; i++) {
    await store.enqueue({ ...VERDICT, callback_url: `${url}/${i}`, batch: {} });
  }
  await vi.waitUntil(async () => (await sender.info()).pending_verdicts === 0, 20_000);
  expect(sender.counters.failed_requests).toBe(0);
});

test("with a secret the body is signed", async () => {
  const { url, received, until } = await aggregator();
  const { store } = await start({ secret: "s3cret" });
  await (await round(store, url)).find(1);
  await until(1);
  const header = String(received[0]?.headers["proofmill-signature"]);
  const match = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(header);
  expect(Math.abs(Number(match?.[1]) - Date.now() / 1000)).toBeLessThan(5);
  const hmac = createHmac("sha256", "s3cret")
    .update(`${match?.[1]}.${received[0]?.text}`)
    .digest("hex");
  expect(match?.[2]).toBe(hmac);
});

test.each([
  ["http://u", "http://u/generated"],
  ["http://u/", "http://u/generated"],
  ["https://u:9/a/b/?token=x&y#part", "https://u:9/a/b/generated?token=x&y"],
])("%s is called at %s", (url, called) => {
  expect(endpoint(url, "generated").href).toBe(called);
});

test.each([
  ["a literal that is never called", "http://169.254.169.254/x", undefined, "never called"],
  ["a host that is not allowed", "http://127.0.0.1:1/x", ["aggregator"], "--callback-allow"],
  ["another port than the allowed", "http://127.0.0.1:1/x", ["127.0.0.1:2"], "--callback-allow"],
])("%s is not called", async (_, url, allow, reason) => {
  const poster = createPoster({ allow });
  onTestFinished(() => poster.close());
  const { signal } = new AbortController();
  const posted = poster.post({ url, kind: "generated", body: "{}", signal });
  await expect(posted).rejects.toThrow(reason);
});

test("a name is judged by the addresses that it leads to", async () => {
  const look = (name: string, all: boolean) =>
    new Promise((resolve) => {
      refusingLookup(name, { all }, (error, address) => resolve(error?.message ?? address));
    });
  // A resolver gives a literal as its own address.
  const refusal = "169.254.169.254 leads to addresses that are never called";
  expect(await look("169.254.169.254", false)).toBe(refusal);
  expect(await look("169.254.169.254", true)).toBe(refusal);
  expect(await look("127.0.0.1", false)).toBe("127.0.0.1");
  expect(await look("127.0.0.1", true)).toEqual([{ address: "127.0.0.1", family: 4 }]);
  const { port, received } = await aggregator();
  const poster = createPoster({});
  onTestFinished(() => poster.close());
  const { signal } = new AbortController();
  const url = `http://localhost:${port}/x`;
  await poster.post({ url, kind: "generated", body: "{}", signal });
  expect(received).toHaveLength(1);
});

test("an end sends what is due without a pause, for as long as it is given", async () => {
  const { url, received, until } = await aggregator();
  const { store, sender } = await start({ interval: 60_000 });
  const { find } = await round(store, url);
  await find(2);
  await until(1);
  await find(5); // due in a minute
  await sender.close(10_000);
  expect(all(received)).toEqual(upTo(7));
  expect(await store.pending()).toEqual({ nonces: 0, verdicts: 0 });
});

test("an end waits for no receiver that fails or hangs, and keeps what is due", async () => {
  const server = createServer((request, response) => {
    if (request.url?.startsWith("/failing")) response.writeHead(500).end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  for (const kind of ["failing", "hanging"]) {
    const { store, sender } = await start({ interval: 10 });
    const { find } = await round(store, `${base}/${kind}`);
    await find(3);
    await sender.close(kind === "failing" ? 60_000 : 200);
    expect(await store.pending()).toEqual({ nonces: 3, verdicts: 0 });
  }
});

test("a thousand who ask what waits have the outbox looked into once, and later ones again", async () => {
  const { sender, store } = await start();
  const looks = vi.spyOn(store, "pending");
  const answers = await Promise.all(Array.from({ length: 1000 }, () => sender.info()));
  expect(looks).toHaveBeenCalledTimes(1);
  expect(new Set(answers.map((answer) => answer.pending_nonces))).toEqual(new Set([0]));
  await vi.waitFor(async () => {
    await sender.info();
    expect(looks).toHaveBeenCalledTimes(2);
  });
});

test("a disk that fails or hangs keeps nobody from asking: the figures before are told", async () => {
  const { sender, store } = await start();
  const pending = vi.spyOn(store, "pending");
  pending.mockResolvedValueOnce({ nonces: 7, verdicts: 2 });
  const before = await sender.info();
  expect(before).toMatchObject({ pending_nonces: 7, pending_verdicts: 2 });
  pending.mockRejectedValueOnce(new Error("no disk"));
  await vi.waitUntil(async () => {
    expect(await sender.info()).toEqual(before);
    return pending.mock.calls.length === 2;
  });
  pending.mockReturnValueOnce(new Promise(() => {}));
  await vi.waitUntil(
    async () => {
      expect(await sender.info()).toEqual(before);
      return pending.mock.calls.length === 3;
    },
    { timeout: 10_000 },
  );
  // Nobody else is kept: what waited for a disk that hangs for an hour would have no bound.
  const asked = performance.now();
  for (let i = 0; i < 10; i++) expect(await sender.info()).toEqual(before);
  expect(performance.now() - asked).toBeLessThan(5000);
});

/** A round of artifacts, and so many of them. */
async function artifacts(store: SqliteStore, callback_url: string, count: number) {
  const round_id = `round-${rounds++}`;
  const config = {
    ...{ block_hash: "ABC", block_height: 7, public_key: "02ab", node_id: 0, node_count: 1 },
    ...{ batch_size: 32, seq_len: 256, k_dim: 1, model: "m", group_id: 0, n_groups: 1 },
    ...{ poc_stronger_rng: false, begins_at: 0, callback_url },
  };
  await store.create({ round_id, scheme: "artifact", config });
  const counters = { total_nonfinite: 0, elapsed_seconds: 1, generating_seconds: 1 };
  await store.append(round_id, {
    ...{
      from: 0,
      nonces: upTo(count),
      records: upTo(count).map(() => "ADw="),
      arithmetic: "cpu-1",
    },
    counters: { ...counters, position: count, searched_with: null },
  });
  return round_id;
}

/** Objects that are taken end the pauses of what is refused: until `isEnough`. */
async function hurry(store: SqliteStore, callback_url: string, isEnough: () => boolean) {
  const due = { scheme: "artifact", kind: "validated", callback_url } as const;
  await vi.waitUntil(
    async () => {
      await store.enqueue({ ...due, batch: {} });
      return isEnough();
    },
    { timeout: 10_000, interval: 20 },
  );
}

const STALE = '{"message":"block_height is not the active PoC stage"}';

test.each([
  [400, STALE, 10],
  [404, "", 10],
  [400, "unknown node_num", 10],
])(
  "artifacts that are answered %i %s ten times are given up, with their round's",
  async (status, said, times) => {
    const { url, state, received } = await aggregator();
    const refused = () => received.filter(({ path }) => path.endsWith("/generated")).length;
    state.answer = (response, { path }) => {
      if (path.endsWith("/generated")) response.writeHead(status).end(said);
      else response.end();
    };
    const givenUp: unknown[] = [];
    const stale: string[] = [];
    const { store, sender } = await start({
      ...{ maxNonces: 10, onGivenUp: (given) => givenUp.push(given) },
      onStale: (round_id) => stale.push(round_id),
    });
    const round_id = await artifacts(store, url, 25);
    await hurry(store, url, () => givenUp.length > 0);
    await drained(store);
    expect(refused()).toBe(times);
    const reason = `it answered ${status} 10 times`;
    expect(givenUp).toEqual([{ nonces: 25, verdicts: 0, scheme: "artifact", reason }]);
    expect(sender.counters.given_up_nonces).toBe(25);
    expect(stale).toEqual(said === STALE ? upTo(times).map(() => round_id) : []);
  },
);

test.each([[503], [429], [408], [425]])("artifacts that are answered %i wait", async (status) => {
  const { url, state, received } = await aggregator();
  let refusals = 0;
  state.answer = (response, { path }) => {
    const isRefused = path.endsWith("/generated") && refusals++ < 15;
    response.writeHead(isRefused ? status : 200).end();
  };
  const { store, sender } = await start();
  await artifacts(store, url, 3);
  await hurry(store, url, () => refusals > 15);
  await drained(store);
  const last = received.filter(({ path }) => path.endsWith("/generated")).at(-1);
  expect(last?.body.artifacts.map(({ nonce }) => nonce)).toEqual(upTo(3));
  expect(sender.counters).toMatchObject({ given_up_nonces: 0, delivered_nonces: 3 });
});

test("finds of a round of distances are not given up for a refusal", async () => {
  const { url, state, received } = await aggregator();
  let refusals = 0;
  state.answer = (response, { path }) => {
    const isRefused = path.endsWith("/generated") && refusals++ < 15;
    response.writeHead(isRefused ? 400 : 200).end(STALE);
  };
  const stale: string[] = [];
  const { store } = await start({ onStale: (round_id) => stale.push(round_id) });
  await (await round(store, url)).find(3);
  await hurry(store, url, () => refusals > 15);
  await drained(store);
  expect(received.filter(({ path }) => path.endsWith("/generated")).at(-1)?.body.nonces).toEqual(
    upTo(3),
  );
  expect(stale).toEqual([]);
});

test("what a job has computed goes where its kind says, and escapes stay as they are", async () => {
  const { url, received, until } = await aggregator();
  const { store } = await start();
  const callback_url = `${url}/Qwen%252FQwen3-0.6B`;
  const due = { scheme: "artifact", callback_url } as const;
  await store.enqueue({ ...due, kind: "generated", batch: { request_id: "a" } });
  await store.enqueue({ ...due, kind: "validated", batch: { request_id: "b" } });
  await until(2);
  expect(received.map(({ path, text }) => [path, text])).toEqual([
    ["/pow/Qwen%252FQwen3-0.6B/generated", '{"request_id":"a"}'],
    ["/pow/Qwen%252FQwen3-0.6B/validated", '{"request_id":"b"}'],
  ]);
});

test("100,000 artifacts go to a slow receiver in order, each once, over an end of the node", async () => {
  const { url, state, received, until } = await aggregator();
  state.answer = (response) => setTimeout(() => response.end(), 30);
  const first = await start({ interval: 1, maxNonces: 10_000, timeout: 10_000 });
  await artifacts(first.store, url, 100_000);
  await until(3);
  await first.end(); // what is under way then is not acknowledged, and comes again
  const before = received.length;
  const second = await start({ interval: 1, maxNonces: 10_000, timeout: 10_000 }, first.folder);
  await drained(second.store);
  const nonces = received.map(({ body }) => body.artifacts.map(({ nonce }) => nonce));
  const again = JSON.stringify(nonces[before]) === JSON.stringify(nonces[before - 1]) ? before : -1;
  const each = nonces.filter((_, i) => i !== again);
  expect(each.flat()).toEqual(upTo(100_000));
  expect(Math.max(...each.map(({ length }) => length))).toBe(10_000);
});
