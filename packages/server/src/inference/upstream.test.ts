import { once } from "node:events";
import { request as httpRequest, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import OpenAI from "openai";
import { expect, test, vi } from "vitest";
import { INIT, INIT_GENERATE, testServer } from "../test-support.ts";
import { GATE_ANSWER } from "./gate.ts";
import { chat, chunk, listening, upstream } from "./test-support.ts";

const text = async (request: IncomingMessage) => {
  let body = "";
  for await (const chunk of request.setEncoding("utf8")) body += chunk;
  return body;
};

test("requests and answers go through as they are, under the upstream's key", async () => {
  const seen: {
    method?: string;
    url?: string;
    headers: IncomingMessage["headers"];
    body: string;
  }[] = [];
  const other = await upstream(async (request, response) => {
    const { method = "", url = "", headers } = request;
    seen.push({ method, url, headers, body: await text(request) });
    response.writeHead(418, {
      "content-type": "text/plain",
      "x-mine": "yes",
      "keep-alive": "timeout=9",
    });
    response.end("short and stout");
  });
  const { app, url } = await listening({ upstream: { url: other.url, apiKey: "k3y" } });
  const answer = await app.inject({
    method: "POST",
    url: "/v1/chat/completions?x=1&y",
    headers: { "content-type": "application/json", authorization: "Bearer mine", te: "trailers" },
    payload: '{"model": "m",  "stream": false}',
  });
  expect([answer.statusCode, answer.body, answer.headers["x-mine"]]).toEqual([
    418,
    "short and stout",
    "yes",
  ]);
  expect(answer.headers["keep-alive"]).toBeUndefined();
  expect(seen[0]).toMatchObject({
    method: "POST",
    url: "/v1/chat/completions?x=1&y",
    body: '{"model": "m",  "stream": false}',
    headers: { authorization: "Bearer k3y", "content-type": "application/json" },
  });
  expect(seen[0]?.headers.te).toBeUndefined();
  for (const path of ["/v1/models", "/v1/models/m", "/v1/a..b", "/tokenize", "/detokenize"]) {
    expect(
      (await app.inject({ method: path.startsWith("/v1") ? "GET" : "POST", url: path })).statusCode,
    ).toBe(418);
  }
  const count = seen.length;
  const dots = ["/v1/../admin", "/v1/%2e%2e/admin", "/v1/..%2f../x", "/v1/x/..", "/v1/..;/x"];
  for (const path of [...dots, "/v1/..x", "/v1/a%2e./x", "/admin"]) {
    const raw = httpRequest({ port: new URL(url).port, path }).end();
    const [response] = (await once(raw, "response")) as [IncomingMessage];
    response.resume();
    expect([path, response.statusCode]).toEqual([path, 404]);
  }
  expect(seen).toHaveLength(count);
});

test("a large body streams through, and without a key the caller's own is sent", async () => {
  let bytes = 0;
  const other = await upstream(async (request, response) => {
    for await (const part of request) bytes += part.length;
    response.end(request.headers.authorization);
  });
  const { url } = await listening({ upstream: { url: other.url } });
  const body = Buffer.alloc(20 * 1024 * 1024, "x");
  const answer = await fetch(`${url}/v1/files`, {
    method: "POST",
    headers: { "content-type": "application/octet-stream", authorization: "Bearer mine" },
    body,
  });
  expect([answer.status, await answer.text(), bytes]).toEqual([200, "Bearer mine", body.length]);
});

test("events come one by one, as the upstream sends them", async () => {
  const other = await upstream(chat(5, 40));
  const { url } = await listening({ upstream: { url: other.url } });
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none" });
  const stream = await client.chat.completions.create({ model: "m", messages: [], stream: true });
  const times: number[] = [];
  let content = "";
  for await (const part of stream) {
    times.push(performance.now());
    content += part.choices[0]?.delta.content;
  }
  expect(content).toBe("0 1 2 3 4 ");
  expect((times.at(-1) ?? 0) - (times[0] ?? 0)).toBeGreaterThan(100);
});

test("an upstream that is away is 502, one that is there again works", async () => {
  const other = await upstream((_, response) => response.end("{}"));
  const { port } = other.server.address() as AddressInfo;
  const { app } = await listening({ upstream: { url: other.url } });
  await new Promise((resolve) => other.server.close(resolve));
  const away = await app.inject({ method: "GET", url: "/v1/models" });
  expect(away.statusCode).toBe(502);
  expect(away.json().error).toEqual({
    message: "The inference server does not answer",
    type: "server_error",
    param: null,
    code: "upstream_error",
  });
  other.server.listen(port, "127.0.0.1");
  await once(other.server, "listening");
  expect((await app.inject({ method: "GET", url: "/v1/models" })).statusCode).toBe(200);
});

test("one that dies in the middle of events ends them with a reason", async () => {
  const other = await upstream((_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(`${chunk(0)}data: {"half`, () => setTimeout(() => response.destroy(), 20));
  });
  const { url } = await listening({ upstream: { url: other.url } });
  const answer = await (await fetch(`${url}/v1/chat/completions`, { method: "POST" })).text();
  const events = answer.split("\n\n").filter((event) => event !== "");
  expect(events).toHaveLength(2);
  expect(JSON.parse(events[1]?.slice("data: ".length) ?? "").error.code).toBe("upstream_error");
});

test("the upstream learns when a caller is gone, before and within its answer", async () => {
  const gone: string[] = [];
  const other = await upstream((request, response) => {
    response.on("close", () => response.writableFinished || gone.push(request.url ?? ""));
    if (request.url === "/v1/stream") chat(1000, 5)(request, response);
  });
  const { url } = await listening({ upstream: { url: other.url } });
  for (const path of ["/v1/silent", "/v1/stream"]) {
    const request = httpRequest(url + path);
    request.on("error", () => {});
    request.end();
    if (path === "/v1/stream") await once(request, "response");
    else await vi.waitUntil(() => other.sockets.size > 0);
    request.destroy();
    await vi.waitUntil(() => gone.includes(path));
  }
});

test("a round cuts running inference off after its time, and lets what is quick end", async () => {
  const other = await upstream((request, response) => {
    if (request.url === "/v1/quick") setTimeout(() => response.end("done"), 50);
    else if (request.url === "/v1/stream") chat(10_000, 10)(request, response);
    // and /v1/slow says nothing
  });
  const server = await listening({ upstream: { url: other.url }, drainMs: 300 });
  const { url } = server;
  const post = (path: string) => fetch(url + path, { method: "POST" });
  const running = [post("/v1/quick"), post("/v1/slow"), post("/v1/stream")] as const;
  await running[2];
  await server.post("/init/generate", INIT_GENERATE);
  const begin = performance.now();
  const refused = await post("/v1/quick");
  expect([refused.status, await refused.json()]).toEqual([503, GATE_ANSWER]);
  const [quick, slow, stream] = await Promise.all(running);
  expect([quick.status, await quick.text()]).toEqual([200, "done"]);
  expect([slow.status, await slow.json()]).toEqual([503, GATE_ANSWER]);
  expect(slow.headers.get("retry-after")).toBe("5");
  const events = (await stream.text()).trimEnd().split("\n\n");
  expect(performance.now() - begin).toBeLessThan(2000);
  expect(JSON.parse(events.at(-1)?.slice("data: ".length) ?? "")).toEqual({
    error: GATE_ANSWER.error,
  });
  for (const event of events) expect(() => JSON.parse(event.slice("data: ".length))).not.toThrow();
  const abort = new AbortController();
  const status = await server.service.watchStatus({ signal: abort.signal }).next();
  expect(status.value?.event.state).toBe("GENERATING");
  abort.abort();
  await server.post("/stop");
  expect((await post("/v1/quick")).status).toBe(200);
  await vi.waitUntil(() => other.sockets.size <= 3);
});

test("a round that is over in time cuts nothing off", async () => {
  const other = await upstream((_, response) => setTimeout(() => response.end("done"), 400));
  const server = await listening({ upstream: { url: other.url }, drainMs: 100 });
  const running = fetch(`${server.url}/v1/x`, { method: "POST" });
  await vi.waitUntil(() => other.sockets.size > 0);
  await server.post("/init/validate", INIT);
  await server.post("/stop");
  expect(await (await running).text()).toBe("done");
});

test("the official client sees the refusal, and comes back when it was told to", async () => {
  const other = await upstream((_, response) => {
    response.setHeader("content-type", "application/json");
    response.end('{"object": "list", "data": [{"id": "m", "object": "model"}]}');
  });
  const server = await listening({ upstream: { url: other.url } });
  await server.post("/init/generate", INIT_GENERATE);
  const times: number[] = [];
  const options = {
    baseURL: `${server.url}/v1`,
    apiKey: "none",
    fetch: (...request: Parameters<typeof fetch>) => {
      times.push(performance.now());
      return fetch(...request);
    },
  };
  const error = await new OpenAI({ ...options, maxRetries: 0 }).models
    .list()
    .catch((thrown) => thrown);
  expect(error).toBeInstanceOf(OpenAI.InternalServerError);
  expect(error).toMatchObject({ status: 503, code: "poc_in_progress" });
  times.length = 0;
  const patient = new OpenAI({ ...options, maxRetries: 1 }).models.list();
  await vi.waitUntil(() => times.length === 1);
  await server.post("/stop");
  expect((await patient).data[0]?.id).toBe("m");
  // Retry-After says five seconds; on its own it would have waited half a second.
  expect((times[1] ?? 0) - (times[0] ?? 0)).toBeGreaterThan(4500);
}, 20_000);

test("fifty rounds with traffic: every answer is whole, a refusal, or ends with the reason", async () => {
  const other = await upstream((request, response) => {
    if (request.url === "/v1/stream") chat(40, 10)(request, response);
    else if (request.url === "/v1/long")
      chat(200, 10)(request, response); // two seconds, longer than any time without a round
    else setTimeout(() => response.end("done"), 30);
  });
  const server = await listening({ upstream: { url: other.url }, drainMs: 20 });
  const outcomes = { whole: 0, refused: 0, ended: 0 };
  let isOver = false;
  const traffic = async (path: string) => {
    while (!isOver) {
      const answer = await fetch(server.url + path, { method: "POST" });
      const body = await answer.text();
      if (answer.status === 503) {
        expect(JSON.parse(body)).toEqual(GATE_ANSWER);
        outcomes.refused++;
      } else {
        expect(answer.status).toBe(200);
        const isWhole = path !== "/v1/plain" ? body.endsWith("data: [DONE]\n\n") : body === "done";
        if (isWhole) outcomes.whole++;
        else {
          const last = body.trimEnd().split("\n\n").at(-1) ?? "";
          expect(JSON.parse(last.slice("data: ".length))).toEqual({ error: GATE_ANSWER.error });
          outcomes.ended++;
        }
      }
    }
  };
  const running = Promise.all(["/v1/stream", "/v1/plain", "/v1/long", "/v1/plain"].map(traffic));
  for (let i = 0; i < 50; i++) {
    await server.post("/init/generate", { ...INIT_GENERATE, block_hash: `block-${i}` });
    await new Promise((resolve) => setTimeout(resolve, i % 3 === 0 ? 60 : 5));
    await server.post("/stop");
    await new Promise((resolve) => setTimeout(resolve, i % 10 === 0 ? 500 : 50));
  }
  isOver = true;
  await running;
  expect(Math.min(...Object.values(outcomes))).toBeGreaterThan(0);
  await server.service.close();
  await server.app.close();
  await vi.waitUntil(() => other.sockets.size === 0);
  expect(server.app.server.listening).toBe(false);
}, 60_000);

test("its health stands beside the node's own", async () => {
  const other = await upstream((_, response) => response.end());
  const { get } = await testServer({ upstream: { url: other.url } });
  expect((await get("/health")).json()).toMatchObject({ status: "ok", upstream: "ok" });
  const away = await testServer({ upstream: { url: "http://127.0.0.1:1" } });
  expect((await away.get("/health")).json()).toMatchObject({
    status: "ok",
    upstream: "unreachable",
  });
});
