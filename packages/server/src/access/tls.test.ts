import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { Agent, createServer, request } from "node:https";
import { connect as connectPlain } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type TLSSocket } from "node:tls";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test, vi } from "vitest";
import { WebSocket } from "ws";
import { createPoster } from "../callbacks/request.ts";
import { testServer } from "../test-support.ts";
import { digestOf } from "./keys.ts";
import { readTls, useTls } from "./tls.ts";

const file = (name: string) => fileURLToPath(new URL(`test-data/${name}`, import.meta.url));
const pem = (name: string) => readFileSync(file(name));
const NODE = { cert: pem("node.pem"), key: pem("node.key") };
const CLIENT = { cert: pem("client.pem"), key: pem("client.key") };
const CA = { ca: pem("ca.pem") };

async function listening(options: Parameters<typeof testServer>[0] = {}) {
  const server = await testServer({ tls: NODE, ...options });
  await server.app.listen({ host: "127.0.0.1", port: 0 });
  const { port } = server.app.server.address() as { port: number };
  return { ...server, port };
}

function get(
  port: number,
  options: object = {},
): Promise<{ status: number; text: string; cn: string }> {
  return new Promise((resolve, reject) => {
    const path = "/version";
    const sent = request(
      { port, path, host: "127.0.0.1", agent: false, ...CA, ...options },
      (answer) => {
        const cn = (answer.socket as TLSSocket).getPeerCertificate().subject.CN as string;
        let text = "";
        answer.on("data", (chunk) => {
          text += chunk;
        });
        answer.on("end", () => resolve({ status: answer.statusCode ?? 0, text, cn }));
      },
    );
    sent.on("error", reject).end();
  });
}

test("requests, pipelined ones too, and WebSockets go through TLS", async () => {
  const server = await listening();
  expect(await get(server.port)).toMatchObject({ status: 200, cn: "proofmill test node" });
  const socket = connect({ port: server.port, host: "127.0.0.1", ...CA });
  onTestFinished(() => void socket.destroy());
  let text = "";
  socket.on("data", (chunk) => {
    text += chunk;
  });
  socket.write("GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(500));
  await vi.waitUntil(() => text.split("HTTP/1.1 200").length === 501, 10_000);

  const client = new WebSocket(`wss://127.0.0.1:${server.port}/trpc`, CA);
  onTestFinished(() => client.terminate());
  await new Promise((resolve) => client.once("open", resolve));
  const calls = Array.from({ length: 200 }, (_, id) => id);
  const ids: number[] = [];
  client.on("message", (data) => ids.push(JSON.parse(String(data)).id));
  for (const id of calls) {
    client.send(JSON.stringify({ id, method: "query", params: { path: "pow.status" } }));
  }
  await vi.waitUntil(() => ids.length === 200, 10_000);
  expect(ids.toSorted((a, b) => a - b)).toEqual(calls);
});

test("an offer of HTTP/2 over TLS is declined, and the request answered", async () => {
  const server = await listening();
  const socket = connect({ port: server.port, host: "127.0.0.1", ...CA });
  onTestFinished(() => void socket.destroy());
  socket.write(
    "GET /version HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\n" +
      "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n",
  );
  const [answer] = await new Promise<Buffer[]>((resolve) =>
    socket.once("data", (chunk) => resolve([chunk])),
  );
  expect(String(answer)).toContain("HTTP/1.1 200");
});

test("connections are counted once, from their handshake on; who speaks no TLS is let go", async () => {
  const server = await listening({ connectionLimits: { perAddress: 2, headersMs: 500 } });
  const silent = connectPlain(server.port, "127.0.0.1");
  onTestFinished(() => void silent.destroy());
  const silentClosed = new Promise((resolve) => silent.once("close", resolve));
  await new Promise((resolve) => silent.once("connect", resolve));
  const agent = new Agent({ keepAlive: true });
  onTestFinished(() => agent.destroy());
  await get(server.port, { agent });
  const third = connect({ port: server.port, host: "127.0.0.1", ...CA });
  onTestFinished(() => void third.destroy());
  await new Promise((resolve) => third.once("secureConnect", resolve));
  await silentClosed; // it was idle for longest
  expect((await get(server.port, { agent })).status).toBe(200);
  const plain = connectPlain(server.port, "127.0.0.1");
  plain.on("error", () => {});
  plain.write("GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n");
  await new Promise((resolve) => plain.once("close", resolve));
});

test("a client without a certificate is kept out where one is wanted; keys are wanted besides", async () => {
  const key = "a-key-of-an-admin-1";
  const keys = [{ label: "ops", scopes: ["admin" as const], digest: digestOf(key) }];
  const server = await listening({ tls: { ...NODE, ...CA }, keys });
  await expect(get(server.port)).rejects.toThrow();
  expect((await get(server.port, CLIENT)).status).toBe(401);
  const headers = { authorization: `Bearer ${key}` };
  expect((await get(server.port, { ...CLIENT, headers })).status).toBe(200);
});

test("a certificate is renewed while connections go on", async () => {
  const server = await listening();
  const agent = new Agent({ keepAlive: true });
  onTestFinished(() => agent.destroy());
  expect((await get(server.port, { agent })).cn).toBe("proofmill test node");
  useTls(server.app.server, { cert: pem("renewed.pem"), key: pem("renewed.key") });
  expect((await get(server.port)).cn).toBe("proofmill test renewed");
  expect((await get(server.port, { agent })).status).toBe(200);
});

test("whose authority is taken away loses his connections, the others keep theirs", async () => {
  const server = await listening({ tls: { ...NODE, ...CA } });
  const agent = new Agent({ keepAlive: true });
  onTestFinished(() => agent.destroy());
  await get(server.port, { ...CLIENT, agent });
  const client = new WebSocket(`wss://127.0.0.1:${server.port}/trpc`, { ...CA, ...CLIENT });
  onTestFinished(() => client.terminate());
  await new Promise((resolve) => client.once("open", resolve));
  const isClosed = new Promise((resolve) => client.once("close", () => resolve("closed")));

  useTls(server.app.server, { ...NODE, ca: Buffer.concat([pem("renewed.pem"), pem("ca.pem")]) });
  expect((await get(server.port, { ...CLIENT, agent })).status).toBe(200);
  client.ping();
  await new Promise((resolve) => client.once("pong", resolve));

  client.on("error", () => {});
  useTls(server.app.server, { ...NODE, ca: pem("renewed.pem") });
  expect(await isClosed).toBe("closed");
  await expect(get(server.port, CLIENT)).rejects.toThrow();
});

test("what is wrong with files of certificates is said, with their names", () => {
  const folder = mkdtempSync(join(tmpdir(), "proofmill-tls-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const [cert, key] = [join(folder, "cert.pem"), join(folder, "key.pem")];
  copyFileSync(file("node.pem"), cert);
  copyFileSync(file("client.key"), key);
  const read = () => readTls({ cert, key, ca: undefined });
  expect(read).toThrow(`${cert}, ${key}: the key is not the certificate's`);
  writeFileSync(key, "no key");
  expect(read).toThrow(`${cert}, ${key}: expected PEM`);
  rmSync(key);
  expect(read).toThrow(`${key}: there is no such file`);
  expect(readTls({ cert: undefined, key: undefined, ca: undefined })).toBe(null);
});

test("callbacks show a certificate and a token, and trust whom they are told to", async () => {
  const seen: unknown[] = [];
  const receiver = createServer({ ...NODE, ...CA, requestCert: true }, (asked, answer) => {
    const { subject } = (asked.socket as TLSSocket).getPeerCertificate();
    seen.push([subject.CN, asked.headers.authorization]);
    answer.end();
  });
  await new Promise<void>((resolve) => receiver.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void receiver.close());
  const { port } = receiver.address() as { port: number };
  const to = {
    url: `https://127.0.0.1:${port}/pow`,
    kind: "generated" as const,
    body: "{}",
    signal: new AbortController().signal,
  };
  const options = { token: "a-token", allow: [`127.0.0.1:${port}`] };
  const poster = createPoster({ ...options, tls: { ...CLIENT, ...CA } });
  onTestFinished(() => poster.close());
  await poster.post(to);
  expect(seen).toEqual([["proofmill test client", "Bearer a-token"]]);
  const stranger = createPoster({ ...options, tls: CA });
  onTestFinished(() => stranger.close());
  await expect(stranger.post(to)).rejects.toThrow();
  stranger.useTls({ ...CLIENT, ...CA });
  await stranger.post(to);
  expect(seen.length).toBe(2);
  const distrustful = createPoster({ ...options, tls: CLIENT });
  onTestFinished(() => distrustful.close());
  await expect(distrustful.post(to)).rejects.toThrow();
});
