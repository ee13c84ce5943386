/** Rounds and chats on one model: neither changes what the other gives. */
import { expect, test, vi } from "vitest";
import { startNode } from "../../node.ts";
import { parseConfig } from "../../settings/read.ts";
import { INIT_GENERATE } from "../../test-support.ts";

const ROUND = { ...INIT_GENERATE, r_target: 2, seq_len: 16, batch_size: 8 };
const CYCLES = 15;
const NONCES = 8;

interface Status {
  valid_nonces: number[];
  valid_distances: number[];
}

test("rounds amid chats have a quiet node's distances, and every answer is whole or says why not", async () => {
  const flags = [
    "--enable-poc",
    "--port",
    "0",
    "--log-level",
    "silent",
    "--poc-drain-seconds",
    "0",
  ];
  const node = await startNode({ ...parseConfig([...flags, "--threads", "1"]), dataDir: null });
  try {
    await node.loaded;
    const headers = { "content-type": "application/json" };
    const post = (path: string, body: object = {}) =>
      fetch(node.url + path, { method: "POST", headers, body: JSON.stringify(body) });
    const round = async (): Promise<[number, number][]> => {
      expect((await post("/api/v1/pow/init/generate", ROUND)).status).toBe(200);
      let found: Status = { valid_nonces: [], valid_distances: [] };
      await vi.waitFor(
        async () => {
          found = (await (await fetch(`${node.url}/api/v1/pow/status`)).json()) as Status;
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
  } finally {
    await node.close();
  }
}, 60_000);
