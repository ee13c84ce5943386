/** What a proxy must not let through, in either direction. */
import type { IncomingHttpHeaders } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { text } from "node:stream/consumers";
import { expect, onTestFinished, test } from "vitest";
import { WebSocket } from "ws";
import { testServer } from "../test-support.ts";
import { type Answer, listening, upstream } from "./test-support.ts";

/** Sends bytes as they are and gives the whole answer. */
function raw(url: string, ...lines: string[]): Promise<string> {
  const socket = connect(Number(new URL(url).port), "127.0.0.1");
  socket.write(`${lines.join("\r\n")}\r\n\r\n`);
  return text(socket);
}

/** An upstream that keeps the headers of what it was asked. */
async function keeping(answer: Answer = (_, response) => response.end("{}")) {
  const seen: IncomingHttpHeaders[] = [];
  const other = await upstream((request, response) => {
    seen.push(request.headers);
    answer(request, response);
  });
  return { ...other, seen };
}

/** For a server that must be named before it listens. */
async function freePort(): Promise<number> {
  const { server } = await upstream(() => {});
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

test("what is of the caller's connection, or a proxy's to say, does not go up", async () => {
  const { url: to, seen } = await keeping();
  const { url } = await listening({ upstream: { url: to, apiKey: "k3y" } });
  const dropped = [
    "Proxy-Authorization: Basic c2VjcmV0",
    "Proxy-Authenticate: Basic",
    "Proxy-Authentication-Info: x",
    "Proxy-Connection: keep-alive",
    "Keep-Alive: timeout=5",
    "TE: trailers",
    "Trailer: X-Sum",
    "X-Named: secret",
    "X-Named-Too: secret",
    "Authorization: Bearer mine",
    "Forwarded: host=evil.example",
    "X-Forwarded-Host: evil.example",
    "X-Forwarded-For: 10.0.0.1",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Prefix: /admin",
    "X-Forwarded: 1",
    "X-Real-IP: 10.0.0.1",
    "X-Original-URL: /admin",
    "X-Original-Host: evil.example",
    "X-Rewrite-URL: /admin",
    "Expect: 100-continue",
    "Accept-Encoding: gzip",
  ];
  const answer = await raw(
    url,
    "POST /v1/x HTTP/1.1",
    "Host: localhost",
    "Connection: close, X-Named",
    "Connection: x-named-too , Authorization",
    ...dropped,
    "X-Request-Id: theirs",
    "X-Kept: yes",
    "OpenAI-Organization: org",
    "Via: 1.0 front",
    "Content-Type: application/json",
    "Content-Length: 2",
    "",
    "{}",
  );
  expect(answer).toMatch(/HTTP\/1.1 200 /);
  const { host, via, connection, ...rest } = seen[0] ?? {};
  expect(host).toBe(new URL(to).host);
  expect(via).toMatch(/^1\.0 front, 1\.1 proofmill-\w+$/);
  expect(connection).toBe("keep-alive"); // this node's own
  expect(rest).toEqual({
    authorization: "Bearer k3y",
    "accept-encoding": "identity",
    "x-request-id": "theirs",
    "x-kept": "yes",
    "openai-organization": "org",
    "content-type": "application/json",
    "content-length": "2",
  });
});

test("what is of the upstream's connection, or this node's to say, does not come down", async () => {
  const { url: to } = await upstream((_, response) => {
    response.writeHead(
      200,
      [
        ["connection", "close, X-Named"],
        ["connection", "X-Named-Too"],
        ["x-named", "secret"],
        ["x-named-too", "secret"],
        ["keep-alive", "timeout=9"],
        ["proxy-authenticate", "Basic"],
        ["trailer", "x-sum"],
        ["upgrade", "h2c"],
        ["access-control-allow-origin", "*"],
        ["access-control-allow-credentials", "true"],
        ["access-control-expose-headers", "x-kept"],
        ["timing-allow-origin", "*"],
        ["x-request-id", "theirs"],
        ["vary", "Accept"],
        ["set-cookie", "a=1"],
        ["set-cookie", "b=2"],
        ["x-kept", "yes"],
      ].flat(),
    );
    response.end("{}");
  });
  const page = "https://dashboard.example";
  const plain = await listening({ upstream: { url: to } });
  const { headers } = await plain.app.inject({ url: "/v1/x" });
  expect(headers).toMatchObject({ "x-kept": "yes", "set-cookie": ["a=1", "b=2"], vary: "Accept" });
  expect(headers["x-request-id"]).toMatch(/^[0-9A-Z]{26}$/);
  const names = Object.keys(headers).join();
  expect(names).not.toMatch(/x-named|keep-alive|proxy-|trailer|upgrade|access-control|timing/);
  // Which pages may read it is said by --allow-origin alone.
  const allowing = await listening({
    upstream: { url: to },
    allowOrigin: [page, "https://b.example"],
  });
  const to_page = await allowing.app.inject({ url: "/v1/x", headers: { origin: page } });
  expect(to_page.headers["access-control-allow-origin"]).toBe(page);
  expect(to_page.headers["access-control-allow-credentials"]).toBeUndefined();
  expect(to_page.headers.vary).toBe("Origin, Accept");
  const evil = await allowing.app.inject({
    url: "/v1/x",
    headers: { origin: "https://evil.example" },
  });
  expect(evil.headers["access-control-allow-origin"]).not.toBe("*");
});

test("a chunked answer is no chunked one to a caller that knows no chunks", async () => {
  const { url: to } = await upstream((_, response) => {
    response.write("one");
    response.end("two");
  });
  const { url } = await listening({ upstream: { url: to } });
  const answer = await raw(url, "GET /v1/x HTTP/1.0");
  expect(answer).not.toMatch(/transfer-encoding/i);
  expect(answer.split("\r\n\r\n")[1]).toBe("onetwo");
});

test("a target with a host and a GET with a body are forwarded as others are", async () => {
  const paths: (string | undefined)[] = [];
  const { url: to } = await keeping((request, response) => {
    paths.push(request.url);
    response.end("{}");
  });
  const { url } = await listening({ upstream: { url: to } });
  const close = ["Host: localhost", "Connection: close"];
  for (const lines of [
    ["GET http://localhost/v1/a?x=1 HTTP/1.1", ...close],
    ["GET /v1/b HTTP/1.1", ...close, "Content-Length: 2", "", "{}"],
  ]) {
    expect(await raw(url, ...lines)).toMatch(/^HTTP\/1.1 200 /);
  }
  expect(paths).toEqual(["/v1/a?x=1", "/v1/b"]);
});

test("a WebSocket where there is none is 404, and not opened", async () => {
  const { url: to, seen } = await keeping();
  for (const server of [await listening({}), await listening({ upstream: { url: to } })]) {
    const open = (path: string) => {
      const socket = new WebSocket(server.url.replace("http", "ws") + path);
      onTestFinished(() => socket.terminate());
      return new Promise((resolve) => {
        socket.once("open", () => resolve("open")).once("error", ({ message }) => resolve(message));
      });
    };
    for (const path of [
      "/health",
      "/version",
      "/openapi.json",
      "/docs",
      "/api/v1/pow/status",
      "/v1/models",
      "/v1/realtime",
      "/trpc/pow.status",
      "/nothing",
    ]) {
      expect([path, await open(path)]).toEqual([path, "Unexpected server response: 404"]);
    }
    expect(await open("/trpc")).toBe("open");
    expect(await open("/trpc?connectionParams=1")).toBe("open");
  }
  expect(seen).toEqual([]);
});

test("an upstream that leads back to the node is noticed at once", async () => {
  const port = await freePort();
  const one = await testServer({ upstream: { url: `http://127.0.0.1:${port}` } });
  let connections = 0;
  one.app.server.on("connection", () => connections++);
  await one.app.listen({ host: "127.0.0.1", port });
  const self = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
    method: "POST",
    body: "{}",
  });
  expect([self.status, await self.json()]).toEqual([
    508,
    {
      detail: "The inference server leads back to this node",
      error: expect.objectContaining({ code: "upstream_error" }),
    },
  ]);
  const begin = performance.now();
  const health = await fetch(`http://127.0.0.1:${port}/health`);
  expect(await health.json()).toMatchObject({ status: "ok", upstream: "unreachable" });
  expect(performance.now() - begin).toBeLessThan(1000); // of two seconds that it may take
  expect(connections).toBeLessThan(6);
});

test("so is one that leads back through others", async () => {
  const port = await freePort();
  const first = await testServer({ upstream: { url: `http://127.0.0.1:${port}` } });
  const firstUrl = await first.app.listen({ host: "127.0.0.1", port: 0 });
  const second = await testServer({ upstream: { url: firstUrl } });
  await second.app.listen({ host: "127.0.0.1", port });
  expect((await fetch(`${firstUrl}/tokenize`, { method: "POST" })).status).toBe(508);
  expect((await fetch(`http://127.0.0.1:${port}/v1/models`)).status).toBe(508);
  // A chain that ends is none.
  const end = await keeping();
  const last = await listening({ upstream: { url: end.url } });
  const front = await listening({ upstream: { url: last.url } });
  expect((await fetch(`${front.url}/v1/models`)).status).toBe(200);
  expect(end.seen[0]?.via).toMatch(/^1\.1 proofmill-(\w+), 1\.1 proofmill-(?!\1)\w+$/);
});
