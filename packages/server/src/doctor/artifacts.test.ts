/** A doctor that plays the broker finds a planted fault for each of its checks, and names it. */
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { encodeVector } from "@proofmill/core";
import { expect, onTestFinished, test } from "vitest";
import { createPoster } from "../callbacks/request.ts";
import { artifactChecks } from "./artifacts.ts";
import { callbackChecks } from "./callback.ts";
import { type Check, runChecks } from "./check.ts";
import { Rates } from "./rates.ts";

const K_DIM = 12;

/** How a pretended node lies. */
interface Lies {
  state?: string;
  /** What begins no round: status and detail. */
  refusal?: [number, unknown];
  /** The i-th nonce. */
  walk?: (i: number) => number;
  vector?: (nonce: number) => string;
  /** The verdict's mismatches, of those that are so; null: there is no verdict. */
  judge?: (mismatches: number[]) => number[] | null;
  fields?: object;
  /** Whether callbacks go out. */
  sends?: boolean;
  nonfinite?: number;
  /** What the node says of deliveries that failed. */
  failures?: Record<string, number>;
  /** After so many callbacks the round ends. */
  endsAfter?: number;
}

/** What the broker sends. */
interface Asked {
  url: string;
  params: object;
  validation: { artifacts: { nonce: number; vector_b64: string }[] };
}

/** A vector of length 1 that differs from nonce to nonce. */
function vectorOf(nonce: number): string {
  const vector = new Float32Array(K_DIM);
  vector.set([Math.cos(nonce), Math.sin(nonce)]);
  return encodeVector(vector);
}

/** A node that answers as one does, but for its lies. */
async function pretendNode(lies: Lies): Promise<{ url: string; close(): Promise<void> }> {
  const { walk = (i: number) => 1 + 2 * i, vector = vectorOf, judge = (all) => all } = lies;
  let isGenerating = false;
  let computed = 0;
  let sending = Promise.resolve();
  const push = (url: string, kind: string, body: object) =>
    fetch(`${url}/${kind}`, { method: "POST", body: JSON.stringify(body) });

  async function generate({ url, ...source }: Asked) {
    for (let sent = 0; isGenerating; sent++) {
      if (sent === lies.endsAfter) isGenerating = false;
      const nonces = Array.from({ length: 4 }, () => walk(computed++));
      const artifacts = nonces.map((nonce) => ({ nonce, vector_b64: vector(nonce) }));
      if (lies.sends ?? true)
        await push(url, "generated", { ...source, artifacts, ...lies.fields });
      await pause(1);
    }
  }

  const answer = async (path: string, body: Asked): Promise<[number, object]> => {
    switch (path) {
      case "/api/v1/state":
        return [200, { state: lies.state ?? "INFERENCE" }];
      case "/api/v1/node/info":
        return [200, { device: "none", arithmetic: "none-1", delivery: lies }];
      case "/api/v1/pow/status":
        return [200, { total_nonfinite: lies.nonfinite ?? 0 }];
      case "/api/v1/inference/pow/status": {
        const status = isGenerating ? "GENERATING" : "IDLE";
        return [200, { status, backends: [{ stats: { total_processed: computed } }] }];
      }
      case "/api/v1/inference/pow/init/generate":
        if (lies.refusal) return [lies.refusal[0], { detail: lies.refusal[1] }];
        isGenerating = true;
        sending = generate(body);
        return [200, {}];
      case "/api/v1/inference/pow/stop":
        isGenerating = false;
        await sending;
        return [200, {}];
      case "/api/v1/inference/pow/generate": {
        const wrong = body.validation.artifacts.filter(
          (each) => each.vector_b64 !== vectorOf(each.nonce),
        );
        const mismatch_nonces = judge(wrong.map(({ nonce }) => nonce));
        if (mismatch_nonces) await push(body.url, "validated", { mismatch_nonces });
        return [200, { request_id: "8000:a" }];
      }
      case "/api/v1/inference/pow/generate/8000%3Aa":
        return [200, { status: "completed" }];
      default:
        return [404, {}];
    }
  };
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const [status, body] = await answer(request.url ?? "", text ? JSON.parse(text) : null);
    response.writeHead(status).end(JSON.stringify(body));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    async close() {
      isGenerating = false;
      await sending;
      server.close();
      server.closeAllConnections();
    },
  };
}

/** Name → state and detail. */
async function examine(checks: readonly Check[]) {
  const results = await runChecks(checks, () => {});
  return Object.fromEntries(
    results.map(({ name, state, detail }) => [name, `${state}: ${detail}`]),
  );
}

async function artifacts(lies: Lies, rates: Rates | null = null) {
  const { checks, close } = artifactChecks({
    openNode: () => pretendNode(lies),
    ...{ modelName: "test-model", seqLen: 64, searchMs: 30, callbackInterval: 1, rates },
    deliveryMs: 20,
  });
  try {
    return await examine(checks);
  } finally {
    await close();
  }
}

test("all is well, and as fast as before", async () => {
  const folder = mkdtempSync(join(tmpdir(), "proofmill-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  expect(await artifacts({}, new Rates(folder))).toEqual({
    "v2 init": "ok: test-model generates at seq_len 64, as the broker asks for it",
    "v2 callback": expect.stringMatching(
      /^ok: 4 artifacts came to http:\/\/127.0.0.1:\d+\/v2\/poc-batches\/proofmill%252Fdoctor$/,
    ),
    "v2 artifacts": expect.stringMatching(
      /^ok: \d+ artifacts a minute; nothing to compare with yet$/,
    ),
    "v2 porosity": expect.stringMatching(
      /^ok: the largest nonce of \d+ artifacts is \d+: [12].\d for each, validators refuse 100$/,
    ),
    "v2 validation": "ok: 4 were computed again: the spoiled one was found, and no other",
  });
  new Rates(folder).keep("test-model, none, none-1, seq_len 64, artifacts", 1e9);
  expect((await artifacts({}, new Rates(folder)))["v2 artifacts"]).toMatch(
    /^failed: \d+ artifacts a minute, this device reached 1000000000 before: look for other/,
  );
});

test("init: the node does not come up, is stopped, or takes no round; what follows is skipped", async () => {
  const away = await examine(
    artifactChecks({
      openNode: () => Promise.reject(new Error("model.safetensors ends too early")),
      ...{ modelName: "m", seqLen: 64, searchMs: 1, callbackInterval: 1, rates: null },
    }).checks,
  );
  expect(away).toEqual({
    "v2 init": "failed: model.safetensors ends too early",
    "v2 callback": "skipped: no round began",
    "v2 artifacts": "skipped: no round began",
    "v2 porosity": "skipped: no round began",
    "v2 validation": "skipped: no round began",
  });
  const stopped = await artifacts({ state: "STOPPED" });
  expect(stopped["v2 init"]).toBe("failed: the node's state is STOPPED");
  const refused = await artifacts({ refusal: [503, "No vLLM backends available"] });
  expect(refused["v2 init"]).toBe("failed: it answered 503: No vLLM backends available");
  const unfit = await artifacts({ refusal: [422, [{ loc: ["body", "params", "seq_len"] }]] });
  expect(unfit["v2 init"]).toBe('failed: it answered 422: [{"loc":["body","params","seq_len"]}]');
});

test("callback: none comes, with why; the round ends; or it is not what a broker takes", async () => {
  const found = async (lies: Lies) => (await artifacts(lies))["v2 callback"];
  expect(await found({ sends: false, failures: { host_not_allowed: 3 } })).toMatch(
    /^failed: \d+ nonces were computed, and no callback came: host_not_allowed; look at --callback-/,
  );
  expect(await found({ sends: false, nonfinite: 9 })).toMatch(
    /no callback came: 9 are not finite, the model's files or memory are damaged: run proofmill selftest$/,
  );
  expect(await found({ sends: false, endsAfter: 0 })).toBe(
    "failed: the round ended by itself: IDLE",
  );
  const no = "failed: the node's callback is not what a broker takes: ";
  expect(await found({ fields: { block_hash: "another" } })).toBe(`${no}block_hash is another`);
  expect(await found({ fields: { artifacts: [] } })).toBe(`${no}it has no artifacts`);
  expect(await found({ walk: (i) => 2 ** 31 + i })).toBe(
    `${no}nonce 2147483648 is no number from 0 to 2³¹ − 1`,
  );
  expect(await found({ vector: () => "AAAA" })).toBe(
    `${no}nonce 1's vector is not 12 finite numbers`,
  );
  expect(await found({ vector: () => encodeVector(new Float32Array(K_DIM)) })).toBe(
    `${no}nonce 1's vector has length 0`,
  );
});

test("artifacts: they stop coming, or one comes twice", async () => {
  const ended = await artifacts({ endsAfter: 1 });
  expect(ended["v2 artifacts"]).toBe("failed: the round ended by itself: IDLE");
  const twice = await artifacts({ walk: (i) => (i < 4 ? i : i - 1) });
  expect(twice["v2 artifacts"]).toBe(
    "failed: the node's callback is not what a broker takes: nonce 3 came after 3",
  );
});

test("porosity: nonces are left out", async () => {
  const found = await artifacts({ walk: (i) => 1000 * i });
  expect(found["v2 porosity"]).toMatch(
    /^failed: .*: \d{3}\.\d for each, and validators refuse 100$/,
  );
});

test("validation: other bits the second time, a fault that passes, or no verdict", async () => {
  const other = await artifacts({ vector: (nonce) => vectorOf(nonce === 3 ? 9 : nonce) });
  expect(other["v2 validation"]).toBe(
    "failed: 1 of 3 came out otherwise when they were computed again, first nonce 3: run proofmill selftest",
  );
  const blind = await artifacts({ judge: () => [] });
  expect(blind["v2 validation"]).toBe("failed: nonce 7's vector was spoiled, and passed");
  const silent = await artifacts({ judge: () => null });
  expect(silent["v2 validation"]).toBe("failed: there is a verdict, and no callback brought it");
});

test("the broker itself: it knows no such block, waits for a round, or is another service", async () => {
  const ask = async (status: number, text: string) => {
    let sent: Record<string, unknown> = {};
    const server = createServer(async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      sent = JSON.parse(Buffer.concat(chunks).toString());
      response.writeHead(status).end(text);
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    const url = `http://127.0.0.1:${port}/v2/poc-batches/m`;
    const found = await examine(
      callbackChecks({ url, isSigned: false, isBroker: true, openPoster: () => createPoster({}) }),
    );
    return [found.callback, sent.artifacts, found.clock?.slice(0, 2)];
  };
  expect(await ask(400, '{"message":"block_height is not the active PoC stage"}')).toEqual([
    "ok: the broker knows that no such block is at work",
    [],
    "ok",
  ]);
  expect((await ask(503, "not in PoC generate phase"))[0]).toBe(
    "ok: it answers that it takes no artifacts now, as a broker between two rounds",
  );
  expect((await ask(404, "404 page\n not found"))[0]).toBe(
    "failed: it answered 404, 404 page not found: is this the address that rounds name?",
  );
  expect((await ask(502, "bad gateway"))[0]).toBe("failed: it answered 502");
});
