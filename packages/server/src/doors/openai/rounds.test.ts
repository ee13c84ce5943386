/** Rounds and chats on one model: neither changes what the other gives. */
import { expect, onTestFinished, test, vi } from "vitest";
import { startNode } from "../../node.ts";
import { parseConfig } from "../../settings/read.ts";
import { INIT_GENERATE, PROOF } from "../../test-support.ts";

const ROUND = { ...INIT_GENERATE, r_target: 2, seq_len: 16, batch_size: 8 };
const CYCLES = 5;
const NONCES = 8;

interface Status {
  valid_nonces: number[];
  valid_distances: number[];
}

/** A node with the demo model on one thread, and what it answers to a POST. */
async function nodeWith(...more: string[]) {
  const flags = ["--enable-poc", "--port", "0", "--log-level", "silent", "--threads", "1"];
  const node = await startNode({ ...parseConfig([...flags, ...more]), dataDir: null });
  onTestFinished(async () => void (await node.close()));
  await node.loaded;
  const headers = { "content-type": "application/json" };
  const post = (path: string, body: object = {}) =>
    fetch(node.url + path, { method: "POST", headers, body: JSON.stringify(body) });
  return { url: node.url, post };
}

test("rounds amid chats have a quiet node's distances, and every answer is whole or says why not", async () => {
  const { url, post } = await nodeWith("--poc-drain-seconds", "0");
  const round = async (): Promise<[number, number][]> => {
    expect((await post("/api/v1/pow/init/generate", ROUND)).status).toBe(200);
    let found: Status = { valid_nonces: [], valid_distances: [] };
    await vi.waitFor(
      async () => {
        found = (await (await fetch(`${url}/api/v1/pow/status`)).json()) as Status;
        expect(found.valid_nonces.length).toBeGreaterThanOrEqual(NONCES);
      },
      { timeout: 10_000, interval: 5 },
    );
    expect((await post("/api/v1/pow/stop")).status).toBe(200);
    const pairs = found.valid_nonces.map((nonce, i): [number, number] => [
      nonce,
      found.valid_distances[i] ?? Number.NaN,
    ]);
    return pairs.sort(([a], [b]) => a - b).slice(0, NONCES);
  };
  const quiet = await round();
  const outcomes = { whole: 0, refused: 0, ended: 0 };
  let isOver = false;
  const traffic = async (stream: boolean) => {
    while (!isOver) {
      const messages = [{ role: "user", content: "Hello" }];
      const asked = { messages, max_tokens: 60, ignore_eos: true, stream };
      const answer = await post("/v1/chat/completions", asked);
      const text = await answer.text();
      if (answer.status === 503) {
        expect(JSON.parse(text).error.code).toBe("poc_in_progress");
        outcomes.refused++;
      } else if (!stream || text.endsWith("data: [DONE]\n\n")) {
        expect(answer.status).toBe(200);
        if (!stream) expect(JSON.parse(text).usage.completion_tokens).toBe(60);
        outcomes.whole++;
      } else {
        const last = text.trimEnd().split("\n\n").at(-1) ?? "";
        expect(JSON.parse(last.slice("data: ".length)).error.code).toBe("poc_in_progress");
        outcomes.ended++;
      }
    }
  };
  const chats = Promise.all([traffic(true), traffic(false), traffic(true)]);
  for (let i = 0; i < CYCLES; i++) {
    const { whole } = outcomes;
    await vi.waitUntil(() => outcomes.whole > whole, { timeout: 10_000, interval: 2 });
    expect(await round()).toEqual(quiet);
  }
  isOver = true;
  await chats;
  expect(outcomes.whole).toBeGreaterThanOrEqual(CYCLES);
  expect(outcomes.refused).toBeGreaterThan(0);
}, 60_000);

test("with --allow-inference-while-validating proofs and chats share the device, and give the same", async () => {
  const { post } = await nodeWith("--allow-inference-while-validating");
  const init = { ...ROUND, block_hash: PROOF.block_hash, seq_len: 64 };
  expect((await post("/api/v1/pow/init/validate", init)).status).toBe(200);
  const nonces = Array.from({ length: 500 }, (_, nonce) => nonce);
  const proof = async (): Promise<number[]> => {
    const claimed = { ...PROOF, nonces, dist: nonces.map(() => 1) };
    const answer = await post("/api/v1/pow/validate", claimed);
    expect(answer.status).toBe(200);
    return ((await answer.json()) as { distances: number[] }).distances;
  };
  /** Its text, and when each piece of it came. */
  const chat = async (): Promise<{ text: string; at: number[] }> => {
    const messages = [{ role: "user", content: "Hello" }];
    const asked = { messages, max_tokens: 1000, seed: 5, ignore_eos: true, stream: true };
    const answer = await post("/v1/chat/completions", asked);
    expect(answer.status).toBe(200);
    const at: number[] = [];
    let text = "";
    for await (const piece of answer.body ?? []) {
      at.push(performance.now());
      text += new TextDecoder().decode(piece as Uint8Array);
    }
    // Answers have an id and a time of their own.
    const deltas = text.matchAll(/"delta":(\{.*?\})/g);
    return { text: Array.from(deltas, ([, delta]) => delta).join(""), at };
  };
  const quiet = { distances: await proof(), chat: await chat() };
  const beside = chat();
  const begun = performance.now();
  expect(await proof()).toEqual(quiet.distances);
  const seconds = performance.now() - begun;
  const { text, at } = await beside;
  expect(text).toBe(quiet.chat.text);
  // Half of the device is each one's: words come all the while.
  const meanwhile = at.filter((time) => time > begun && time < begun + seconds);
  expect(meanwhile.length).toBeGreaterThan(20);
}, 60_000);
