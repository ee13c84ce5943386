/** The real child process with a real model: what is seen of its work from outside. Linux alone. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { PrefillJob } from "@proofmill/core";
import { notLinux, skipped } from "@proofmill/core/testing";
import { writeRandomModel } from "@proofmill/native/model/random-model";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { type ProcessRunner, startRunner } from "./process.ts";

/** Milliseconds without any progress after which a runner counts as hung. */
const LIMIT = 2500;
const LIMITS = { least: LIMIT, most: LIMIT };

/** Nearly all of a job is its first layer, of the last one little is needed: a second or more. */
const SEQ_LEN = 4096;
const CONFIG = {
  ...{ architectures: ["Qwen3ForCausalLM"], hidden_size: 1024, num_hidden_layers: 2 },
  ...{ num_attention_heads: 8, num_key_value_heads: 4, head_dim: 64, intermediate_size: 4096 },
  ...{ vocab_size: 500, max_position_embeddings: SEQ_LEN, rms_norm_eps: 1e-6 },
  tie_word_embeddings: true,
};

let directory: string;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "proofmill-"));
  await writeRandomModel({ directory, seed: 1, config: CONFIG });
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const job = (id: number): PrefillJob => {
  const seeds = Uint32Array.of(1);
  const output = { kind: "distance", permutation_seeds: seeds, target_seed: 3 } as const;
  return { id, seq_len: SEQ_LEN, input_seeds: seeds, output };
};

async function start(): Promise<ProcessRunner> {
  const model = { directory, dtype: "auto", device: "cpu", threads: 1 } as const;
  const runner = await startRunner({ model, hangLimits: LIMITS });
  onTestFinished(() => runner.close());
  return runner;
}

const onLinux = test.skipIf(skipped(notLinux));

onLinux(
  "one that is slow lives: it gets on within a layer that takes twice its limit",
  async () => {
    const runner = await start();
    const { values } = await runner.run(job(0));
    let isDone = false;
    const rerun = runner.run(job(1)).finally(() => {
      isDone = true;
    });
    // It runs for a hundredth of a second, time and again: the job takes more than all of them.
    const end = performance.now() + 2.2 * LIMIT;
    while (performance.now() < end) {
      process.kill(runner.pid, "SIGSTOP");
      await pause(250);
      process.kill(runner.pid, "SIGCONT");
      await pause(10);
    }
    expect(isDone).toBe(false);
    expect((await rerun).values).toEqual(values);
  },
  60_000,
);

onLinux.each(["SIGABRT", "SIGSEGV"] as const)(
  "one that native code ends by %s is lost, with its name",
  async (signal) => {
    const runner = await start();
    const lost = expect(runner.run(job(0))).rejects.toThrow(`ended by ${signal}`);
    process.kill(runner.pid, signal);
    await lost;
  },
  30_000,
);
