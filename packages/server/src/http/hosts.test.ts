import { once } from "node:events";
import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { text } from "node:stream/consumers";
import { expect, onTestFinished, test } from "vitest";
import { testServer } from "../test-support.ts";

/** Sends lines as they are and gives the whole answer. */
async function ask(port: number, ...lines: string[]): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  socket.write(`${lines.join("\r\n")}\r\nConnection: close\r\n\r\n`);
  return text(socket);
}

async function listening(options: Parameters<typeof testServer>[0] = {}) {
  const server = await testServer(options);
  await server.app.listen({ host: "127.0.0.1", port: 0 });
  return { ...server, port: (server.app.server.address() as AddressInfo).port };
}

const REFUSAL = {
  detail: "Host not allowed: this node answers to the hosts that --allow-host names",
};

test.each([
  "127.0.0.1:8000",
  "10.1.2.3",
  "[::1]:8000",
  "[fd00::1]",
  "[fe80::1%25eth0]:8000",
  "localhost:8000",
  "localhost.",
  "LOCALHOST",
  "proofmill",
  "my_service:8000",
  "printer.local",
  "Node.LOCAL:8000",
  "node.local.",
  "host.docker.internal",
  "app.localhost:8000",
  "poc.default.svc.cluster.local",
  "named.example",
  "NAMED.example:9000",
  "named.example.",
  "other.example:9000",
  "",
])("a request for '%s' is answered", async (host) => {
  const { port } = await listening({ allowHost: ["named.example", "other.example:9000"] });
  expect(await ask(port, "GET /version HTTP/1.1", `Host: ${host}`)).toMatch(/^HTTP\/1.1 200 /);
});

test.each([
  "evil.example",
  "evil.example:8000",
  "evil.example.",
  "127.0.0.1.evil.example",
  "127.0.0.1.nip.io",
  "localhost.evil.example",
  "evil.notlocal",
  "evil.local.example",
  "sub.named.example",
  "named.example.evil.example",
  "other.example",
  "other.example:9001",
  "127.0.0.1@evil.example",
  "evil.example/127.0.0.1",
  "127.0.0.1:port",
  "evil%2eexample",
  "1.2.3.4.5",
])("a request for '%s' is refused", async (host) => {
  const { port } = await listening({ allowHost: ["named.example", "other.example:9000"] });
  const answer = await ask(port, "GET /version HTTP/1.1", `Host: ${host}`);
  expect(answer).toMatch(/^HTTP\/1.1 403 /);
  expect(answer).toContain(JSON.stringify(REFUSAL));
});

test("no door answers to a foreign host, and nothing reaches the upstream", async () => {
  let forwarded = 0;
  const upstream = createServer((_, response) => {
    forwarded++;
    response.end();
  }).listen(0, "127.0.0.1");
  await once(upstream, "listening");
  onTestFinished(() => void upstream.close());
  const { port } = upstream.address() as AddressInfo;
  const server = await listening({
    upstream: { url: `http://127.0.0.1:${port}`, apiKey: "k3y" },
    allowOrigin: ["https://dashboard.example"],
  });
  for (const [method, path, ...headers] of [
    ["GET", "/api/v1/pow/status"],
    ["POST", "/api/v1/pow/stop"],
    ["GET", "/health"],
    ["GET", "/openapi.json"],
    ["GET", "/docs"],
    ["GET", "/trpc/pow.status"],
    ["GET", "/trpc/pow.onStatus"],
    ["GET", "/v1/models"],
    ["HEAD", "/v1/models"],
    ["POST", "/tokenize"],
    ["GET", "/nothing"],
    ["GET", "/%zz"],
    ["DELETE", "/health"],
    ["OPTIONS", "/trpc/pow.stop", "Access-Control-Request-Method: POST"],
    [
      "GET",
      "/trpc",
      "Upgrade: websocket",
      "Sec-WebSocket-Version: 13",
      `Sec-WebSocket-Key: ${"A".repeat(22)}==`,
    ],
  ] as const) {
    const lines = [`${method} ${path} HTTP/1.1`, "Host: evil.example", ...headers];
    // A page of a foreign name speaks with an origin of that name, or with none.
    for (const origin of [
      [],
      ["Origin: http://evil.example"],
      ["Origin: https://dashboard.example"],
    ]) {
      const answer = await ask(server.port, ...lines, ...origin);
      expect([method, path, answer.slice(0, 13)]).toEqual([method, path, "HTTP/1.1 403 "]);
    }
  }
  expect(forwarded).toBe(0);
  expect((await ask(server.port, "GET /v1/models HTTP/1.1", "Host: x")).slice(9, 12)).toBe("200");
  expect(forwarded).toBe(1);
});

test("the host of a target and every Host count", async () => {
  const { port } = await listening();
  for (const lines of [
    ["GET http://evil.example/version HTTP/1.1", "Host: localhost"],
    ["GET http://localhost/version HTTP/1.1", "Host: evil.example"],
    ["GET /version HTTP/1.1", "Host: localhost", "Host: evil.example"],
    ["GET /version HTTP/1.1", "Host: evil.example", "Host: localhost"],
    ["GET /version HTTP/1.0", "Host: evil.example"],
  ]) {
    expect(await ask(port, ...lines)).toMatch(/^HTTP\/1.1 40[03] /);
  }
  for (const lines of [
    ["GET http://localhost/version HTTP/1.1", "Host: localhost"],
    ["GET /version HTTP/1.0"], // what a load balancer asks
  ]) {
    expect(await ask(port, ...lines)).toMatch(/^HTTP\/1.1 200 /);
  }
});

test("a host that is answered is not yet an origin that may command", async () => {
  const { app } = await testServer({
    allowHost: ["node.example"],
    allowOrigin: ["https://node.example"],
  });
  const stop = (origin: string, host: string) =>
    app.inject({ method: "POST", url: "/api/v1/pow/stop", headers: { origin, host } });
  for (const [origin, host] of [
    ["https://node.example", "node.example"],
    ["http://127.0.0.1:8000", "127.0.0.1:8000"],
    ["http://localhost:8000", "localhost:8000"],
  ] as const) {
    expect([origin, (await stop(origin, host)).statusCode]).toEqual([origin, 200]);
  }
  for (const [origin, host] of [
    ["http://node.example:8000", "node.example:8000"],
    ["http://node.local:8000", "node.local:8000"],
    ["http://node.example", "127.0.0.1"],
    ["http://evil.example", "127.0.0.1"],
    ["null", "127.0.0.1"],
  ] as const) {
    expect([origin, (await stop(origin, host)).statusCode]).toEqual([origin, 403]);
  }
});
