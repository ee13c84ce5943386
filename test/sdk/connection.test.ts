/** What a watch tells of its connection, and what ends it. */
import { createServer } from "node:http";
import { type AddressInfo, connect, createServer as createTcpServer, type Server } from "node:net";
import {
  type Connection,
  ConnectionError,
  createPocClient,
  ForbiddenError,
  NotANodeError,
  type PocClientOptions,
} from "@proofmill/client";
import { expect, onTestFinished, test, vi } from "vitest";
import { startFakeNode } from "../fake-node.ts";
import { listen } from "../helpers.ts";

/** Follows a node's statuses until something ends it. */
function watch(options: PocClientOptions) {
  const end = new AbortController();
  const told: Connection[] = [];
  let events = 0;
  const outcome = (async () => {
    const onConnection = (connection: Connection) => void told.push(connection);
    const statuses = createPocClient(options).watchStatus({ signal: end.signal, onConnection });
    for await (const _ of statuses) events++;
    return "ended";
  })().catch((error: unknown) => error);
  onTestFinished(async () => {
    end.abort();
    await outcome;
  });
  const states = () => told.map(({ state }) => state);
  return { told, states, outcome, events: () => events, end };
}

/** Passes connections on to a node, and changes the first bytes of each on the way. */
async function relay(to: string, change: (head: string) => string = (head) => head) {
  const port = Number(new URL(to).port);
  const server: Server = createTcpServer((near) => {
    const far = connect(port, "127.0.0.1");
    near.once("data", (head) => {
      far.write(change(head.toString("latin1")), "latin1");
      near.pipe(far);
    });
    far.pipe(near);
    for (const socket of [near, far]) {
      socket.on("error", () => {});
      socket.on("close", () => {
        near.destroy();
        far.destroy();
      });
    }
    sockets.add(near);
  });
  const sockets = new Set<import("node:net").Socket>();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const breakAll = () => {
    for (const socket of sockets) socket.destroy();
  };
  onTestFinished(() => {
    server.close();
    breakAll();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, breakAll };
}

test("a connection that breaks is told, and told when it is there again", async () => {
  const { url: node } = await startFakeNode();
  const { url, breakAll } = await relay(node);
  const { told, states, events } = watch({ url });
  await vi.waitUntil(() => events() > 0);
  expect(states()).toEqual(["connecting", "open"]);
  breakAll();
  await vi.waitUntil(() => states().length === 4, { timeout: 5000 });
  expect(states()).toEqual(["connecting", "open", "lost", "open"]);
  expect(told[2]).toMatchObject({ error: expect.any(ConnectionError) });
});

test("an address where nobody is, is tried for as long as it takes", async () => {
  const server = createServer();
  const url = await listen(server);
  await new Promise((resolve) => server.close(resolve));
  const { told, states, outcome, end } = watch({ url });
  await vi.waitUntil(() => states().filter((state) => state === "lost").length >= 2, {
    timeout: 5000,
  });
  expect(told.at(-1)).toMatchObject({
    state: "lost",
    error: { code: "CONNECTION", message: expect.stringContaining("ECONNREFUSED") },
  });
  end.abort();
  expect(await outcome).toBe("ended");
});

test("an address that is no node's ends a watch", async () => {
  const url = await listen(createServer((_, response) => response.end("<html>")));
  const { states, outcome } = watch({ url });
  expect(await outcome).toBeInstanceOf(NotANodeError);
  expect(states()).toEqual(["connecting", "refused"]);
});

test("an address that leads on to a node's ends a watch, which names that", async () => {
  const { url: node } = await startFakeNode();
  const redirect = createServer(({ url: path }, response) =>
    response.writeHead(302, { location: node + path }).end(),
  );
  const { outcome } = watch({ url: await listen(redirect) });
  const error = await outcome;
  expect(error).toBeInstanceOf(NotANodeError);
  expect(error).toMatchObject({ message: expect.stringContaining(`leads on to ${node}`) });
});

test("a proxy whose node is away is waited for", async () => {
  const bad = createServer((_, response) => response.writeHead(502).end("Bad Gateway"));
  const { told } = watch({ url: await listen(bad) });
  await vi.waitUntil(() => told.length >= 2);
  expect(told[1]).toMatchObject({ state: "lost", error: { code: "HTTP", status: 502 } });
});

test("an origin that the node refuses ends a watch", async () => {
  const { url: node } = await startFakeNode();
  const { url } = await relay(node, (head) =>
    head.replace("\r\n", "\r\nOrigin: https://evil.example\r\n"),
  );
  const { states, outcome } = watch({ url });
  const error = await outcome;
  expect(error).toBeInstanceOf(ForbiddenError);
  expect(error).toMatchObject({
    status: 403,
    message: expect.stringContaining("Origin not allowed"),
  });
  expect(states()).toEqual(["connecting", "refused"]);
});

test("a page is told that its origin is refused, though its browser shows no answer", async () => {
  const url = await listen(createServer((request) => request.socket.destroy()));
  vi.stubGlobal("location", { origin: "https://page.example" });
  onTestFinished(() => void vi.unstubAllGlobals());
  // As browsers do it: a request that the other side does not allow fails like one that it never got.
  const browser: typeof fetch = async (_, init) => {
    if (init?.mode !== "no-cors") throw new TypeError("Failed to fetch");
    return Response.error();
  };
  const { outcome } = watch({ url, fetch: browser });
  expect(await outcome).toMatchObject({
    code: "ORIGIN_REFUSED",
    message: expect.stringContaining("--allow-origin https://page.example"),
  });
});
