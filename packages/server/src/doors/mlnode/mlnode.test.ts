/** What the broker's paths answer in each state of the node (docs/mlnode.md), cell by cell. */
import { expect, test, vi } from "vitest";
import { upstream } from "../../inference/test-support.ts";
import { type TestServer, testServer } from "../../test-support.ts";

const MODEL = "test-model";
const ROUND = {
  ...{ block_hash: "ABC", block_height: 7, public_key: "02ab", node_id: 1, node_count: 3 },
  params: { model: MODEL, seq_len: 8 },
};
const UP = { model: MODEL, dtype: "auto", additional_args: [] };
const CHAT = { model: MODEL, messages: [{ role: "user", content: "a" }], max_tokens: 1 };

const start = (options: Parameters<typeof testServer>[0] = {}) =>
  testServer({ protocol: "both", chats: true, ...options });

/** As the broker sends it: without a content type, and a body only where there is one. */
async function ask({ app }: TestServer, rest: string, body?: object) {
  const [method = "", url = ""] = rest.split(" ");
  const { statusCode, body: text } = await app.inject({
    method: method as "GET",
    url,
    ...(body && { payload: Buffer.from(JSON.stringify(body)) }),
  });
  return { status: statusCode, body: JSON.parse(text) };
}

const POW = "/api/v1/inference/pow";
const BEGIN = `POST ${POW}/init/generate`;

const STATES: Record<string, () => Promise<TestServer>> = {
  loading: () => start({ loaded: false }),
  up: () => start(),
  "a round runs": async () => {
    const server = await start();
    server.runner.hold();
    expect((await ask(server, BEGIN, ROUND)).status).toBe(200);
    return server;
  },
  stopped: async () => {
    const server = await start();
    await ask(server, "POST /api/v1/stop");
    return server;
  },
  "runner dead": async () => {
    const server = await start();
    server.detach(new Error("killed"));
    return server;
  },
};

/** For each state: state, poc_status, and the statuses of what is asked. */
const CELLS = {
  loading: ["STOPPED", null, "NO_BACKENDS", 503, 503, 503, 503, 503],
  up: ["INFERENCE", "IDLE", "IDLE", 200, 200, 200, 200, 200],
  "a round runs": ["INFERENCE", "GENERATING", "GENERATING", 200, 502, 200, 503, 200],
  stopped: ["STOPPED", null, "NO_BACKENDS", 200, 503, 503, 503, 200],
  "runner dead": ["INFERENCE", "NO_BACKENDS", "NO_BACKENDS", 503, 503, 503, 503, 503],
};

test.each(Object.entries(CELLS))("%s", async (name, cells) => {
  const server = await (STATES[name] as () => Promise<TestServer>)();
  const { state, poc_status } = (await ask(server, "GET /api/v1/state")).body;
  const pow = await ask(server, `GET ${POW}/status`);
  const [health, ready] = [await ask(server, "GET /health"), await ask(server, "GET /readyz")];
  expect(ready.status).toBe(health.status);
  const job = await ask(server, `POST ${POW}/generate`, { ...ROUND, nonces: [1] });
  const chat = await ask(server, "POST /v1/chat/completions", CHAT);
  const models = await ask(server, "GET /v1/models");
  const begun = await ask(server, BEGIN, ROUND);
  expect([
    ...[state, poc_status, pow.body.status, health.status],
    ...[begun.status, job.status, chat.status, models.status],
  ]).toEqual(cells);
  expect((await ask(server, "GET /livez")).status).toBe(200);
});

test("a stop ends a round and jobs whose runner is just started again", async () => {
  const server = await start({ loaded: false });
  const place = server.service.openPlace();
  const detach = place.attach(server.runner);
  server.runner.hold();
  await ask(server, BEGIN, ROUND);
  const { body: job } = await ask(server, `POST ${POW}/generate`, { ...ROUND, nonces: [1] });
  detach(new Error("killed"));
  expect(server.service.state).toBe("GENERATING");
  expect(await ask(server, `POST ${POW}/stop`)).toEqual({
    status: 200,
    body: { status: "OK", message: "No backends to stop" },
  });
  place.attach(server.runner);
  expect((await ask(server, `GET ${POW}/status`)).body.status).toBe("IDLE");
  expect((await ask(server, `GET ${POW}/generate/${job.request_id}`)).body.status).toBe(
    "cancelled",
  );
});

test("up: waits for the model while it loads, and says so; a second one is told", async () => {
  const server = await start({ loaded: false });
  let isUp = false;
  const first = ask(server, "POST /api/v1/inference/up", UP).then((answer) => {
    isUp = true;
    return answer;
  });
  await vi.waitUntil(
    async () => (await ask(server, "GET /api/v1/inference/up/status")).body.is_starting,
  );
  for (const path of ["up", "up/async"]) {
    const second = await ask(server, `POST /api/v1/inference/${path}`, UP);
    expect(second).toEqual({
      status: 409,
      body: {
        detail: "VLLM startup is already in progress. Use /inference/up/status to check status.",
      },
    });
  }
  expect(isUp).toBe(false);
  server.service.attach(server.runner);
  expect(await first).toEqual({ status: 200, body: { status: "OK" } });
  expect((await ask(server, "GET /api/v1/inference/up/status")).body).toMatchObject({
    ...{ status: "completed", is_starting: false, is_running: true, error: null },
  });
  expect((await ask(server, "GET /api/v1/state")).body.state).toBe("INFERENCE");
});

test("up: a stop ends the waiting, and a runner that is lost fails it with why", async () => {
  const loading = await start({ loaded: false });
  const waiting = ask(loading, "POST /api/v1/inference/up", UP);
  await vi.waitUntil(
    async () => (await ask(loading, "GET /api/v1/inference/up/status")).body.is_starting,
  );
  await ask(loading, "POST /api/v1/stop");
  expect(await waiting).toEqual({
    status: 500,
    body: { detail: "The node was stopped before it was up" },
  });
  const { body } = await ask(loading, "GET /api/v1/inference/up/status");
  expect(body).toMatchObject({ status: "not_started", is_starting: false, is_running: false });

  const dead = await start();
  dead.detach(new Error("killed"));
  const refused = await ask(dead, "POST /api/v1/inference/up", UP);
  expect([refused.status, refused.body.detail]).toEqual([500, "Runner is not available: killed"]);
  expect((await ask(dead, "GET /api/v1/inference/up/status")).body).toMatchObject({
    ...{ status: "failed", error: "Runner is not available: killed" },
  });
});

test("up: the model may go by another name, first in the list from then on", async () => {
  const server = await start();
  await ask(server, "POST /api/v1/inference/down");
  const args = ["--tensor-parallel-size", "8", "--served-model-name=Qwen/Qwen3-4B", "--x", "{}"];
  const other = { ...UP, model: "another", additional_args: args };
  expect((await ask(server, "POST /api/v1/inference/up", other)).body.detail).toBe(
    "This node holds test-model; it cannot load another",
  );
  expect((await ask(server, "GET /api/v1/state")).body.state).toBe("STOPPED");
  const named = { ...UP, additional_args: args };
  expect((await ask(server, "POST /api/v1/inference/up", named)).status).toBe(200);
  const { data } = (await ask(server, "GET /v1/models")).body;
  expect(data.map(({ id }: { id: string }) => id)).toEqual(["Qwen/Qwen3-4B", MODEL]);
  const round = { ...ROUND, params: { model: "Qwen/Qwen3-4B", seq_len: 8 } };
  expect((await ask(server, BEGIN, round)).status).toBe(200);
});

test("models: the held one is there by its names, nothing else comes or goes", async () => {
  const server = await start();
  const held = { hf_repo: MODEL, hf_commit: null };
  const pinned = { hf_repo: MODEL, hf_commit: "abc" };
  const other = { hf_repo: "Qwen/Qwen3-4B", hf_commit: null };
  const say = async (rest: string, body: object) => (await ask(server, rest, body)).body;
  const rest = { progress: null, error_message: null };
  expect(await say("POST /api/v1/models/status", held)).toEqual({
    ...{ model: held, status: "DOWNLOADED", ...rest },
  });
  for (const model of [other, pinned]) {
    expect(await say("POST /api/v1/models/status", model)).toEqual({
      ...{ model, status: "NOT_FOUND", ...rest },
    });
  }
  expect(await ask(server, "POST /api/v1/models/download", held)).toEqual({
    status: 202,
    body: { task_id: `${MODEL}:latest`, status: "DOWNLOADED", model: held },
  });
  expect(await say("POST /api/v1/models/download", pinned)).toEqual({
    ...{ task_id: `${MODEL}:abc:offline`, status: "IGNORED", model: pinned },
  });
  expect(await ask(server, "DELETE /api/v1/models", held)).toEqual({
    ...{ status: 409, body: { detail: `Model ${MODEL}:latest is in use` } },
  });
  expect((await ask(server, "DELETE /api/v1/models", other)).status).toBe(404);
});

test("the gate's answer in a round of artifacts has the network's words in error", async () => {
  const server = await (STATES["a round runs"] as () => Promise<TestServer>)();
  expect(await ask(server, "POST /v1/chat/completions", CHAT)).toEqual({
    status: 503,
    body: {
      detail: "PoC in progress",
      error: {
        message: "PoC generation is active. Inference requests are temporarily unavailable.",
        ...{ type: "service_unavailable", param: null, code: 503 },
      },
    },
  });
});

test("what a round of artifacts cuts off is told in the same words, whole and streamed", async () => {
  const started: (() => void)[] = [];
  const reached = Promise.all([0, 1].map((i) => new Promise<void>((go) => (started[i] = go))));
  let asked = 0;
  const slow = await upstream((request, response) => {
    if (request.url === "/v1/chat/completions" && asked === 1) {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write('data: {"choices":[]}\n\n');
    }
    started[asked++]?.();
  });
  const server = await start({ chats: false, upstream: { url: slow.url }, drainMs: 20 });
  const whole = ask(server, "POST /v1/chat/completions", CHAT);
  await vi.waitUntil(() => asked === 1);
  const streamed = server.app.inject({
    ...{ method: "POST", url: "/v1/chat/completions", payload: { ...CHAT, stream: true } },
  });
  await reached;
  server.runner.hold();
  expect((await ask(server, BEGIN, ROUND)).status).toBe(200);
  const message = "PoC generation is active. Inference requests are temporarily unavailable.";
  expect(await whole).toMatchObject({
    ...{ status: 503, body: { detail: "PoC in progress", error: { message, code: 503 } } },
  });
  expect((await streamed).body).toContain(`"message":"${message}"`);
});

test("versions: what the upstream calls its own, null where it says none or is away", async () => {
  const vllm = await upstream((request, response) => {
    response.end(request.url === "/version" ? '{"version":"0.23.0"}' : "{}");
  });
  const mute = await upstream((_, response) => response.end("no JSON"));
  const endless = await upstream((_, response) => response.end(`"${"x".repeat(4096)}"`));
  const said = async (url: string) => {
    const server = await start({ chats: false, upstream: { url } });
    return (await ask(server, "GET /api/v1/versions")).body.vllm_version;
  };
  expect(await said(vllm.url)).toBe("0.23.0");
  for (const url of [mute.url, endless.url, "http://127.0.0.1:1"]) {
    expect(await said(url)).toBeNull();
  }
  expect((await ask(await start(), "GET /api/v1/versions")).body.vllm_version).toBeNull();
});

test("a job of 100,000 nonces with their artifacts is read off the loop; one more is refused", async () => {
  const server = await start();
  server.runner.hold();
  const artifacts = Array.from({ length: 100_001 }, (_, nonce) => ({
    ...{ nonce, vector_b64: "SjJjtP+36itbMOG0OLN6tJQ1xjbPNC0n" },
  }));
  const job = (count: number) => ({
    ...{ ...ROUND, nonces: artifacts.slice(0, count).map(({ nonce }) => nonce) },
    validation: { artifacts: artifacts.slice(0, count) },
  });
  const parse = vi.spyOn(JSON, "parse");
  for (const path of [`${POW}/generate`, "/api/v1/pow/generate"]) {
    parse.mockClear();
    const { body, statusCode } = await server.app.inject({
      ...{ method: "POST", url: path, payload: Buffer.from(JSON.stringify(job(100_000))) },
    });
    // Whoever parses so much in one go holds every other caller up.
    const longest = Math.max(0, ...parse.mock.calls.map(([text]) => String(text).length));
    expect(longest).toBeLessThan(65_536);
    expect([statusCode, JSON.parse(body)]).toMatchObject([200, { queued_count: 100_000 }]);
    await ask(server, `POST ${POW}/stop`);
  }
  parse.mockRestore();
  const more = await ask(server, `POST ${POW}/generate`, job(100_001));
  expect([more.status, more.body.detail[0]]).toMatchObject([
    ...[422, { type: "too_long", loc: ["body", "nonces"] }],
  ]);
  const long = await server.app.inject({
    ...{ method: "POST", url: `${POW}/generate`, payload: Buffer.alloc(13 * 2 ** 20, " ") },
  });
  expect([long.statusCode, long.json()]).toEqual([413, { detail: "Request body is too large" }]);
  const init = await server.app.inject({
    ...{ method: "POST", url: "/api/v1/inference/up", payload: Buffer.alloc(65_537, " ") },
  });
  expect(init.statusCode).toBe(413);
});
