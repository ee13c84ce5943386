// A node whose runner finds a nonce every so often: sockets, store and callbacks are real. It is a
// child of a bench, reports its address, and answers "memory" with what it uses.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseConfig, startNode } from "@proofmill/server";

const perSecond = Number(process.argv[2]);
const folder = mkdtempSync(join(tmpdir(), "proofmill-bench-"));

let begin = null;
let taken = 0;
/** When each answer went out: [nonces up to there, milliseconds]. */
const answers = [];

const runner = {
  pid: process.pid,
  ended: new Promise(() => {}),
  info: {
    arithmetic: "paced-1",
    architecture: "PacedForCausalLM",
    device: "none",
    dtype: "float32",
    hidden_size: 8,
    vocab_size: 64,
    num_hidden_layers: 2,
    max_position_embeddings: 1024,
    max_seq_len: 1024,
    preferred_tokens: 4 * 256,
  },
  async run({ input_seeds }) {
    const now = Number(process.hrtime.bigint()) / 1e6;
    begin ??= now;
    taken += input_seeds.length;
    const due = begin + (taken * 1000) / perSecond;
    const upTo = taken;
    if (due > now) await sleep(due - now);
    answers.push([upTo, Number(process.hrtime.bigint()) / 1e6]);
    return {
      completed: input_seeds.length,
      values: new Float32Array(input_seeds.length).fill(0.25),
    };
  },
  cancel() {},
  onProgress() {},
  async close() {},
};

const args = ["--enable-poc", "--port", "0", "--log-level", "error", "--data-dir", folder];
const node = await startNode(parseConfig(args), { startRunner: async () => runner });
await node.loaded;
process.send({ url: node.url });

process.on("message", async (message) => {
  if (message === "begin") {
    begin = null;
    taken = 0;
    answers.length = 0;
  }
  if (message === "answers") process.send(answers);
  if (message === "memory" || message === "memory after collection") {
    if (message !== "memory") globalThis.gc(); // it takes a while: never in the middle of a run
    const { rss, heapUsed, external } = process.memoryUsage();
    const { user, system } = process.cpuUsage();
    process.send({ rss, heapUsed, external, cpuSeconds: (user + system) / 1e6 });
  }
  if (message === "close") {
    await node.close();
    rmSync(folder, { recursive: true, force: true });
    process.exit(0);
  }
});
