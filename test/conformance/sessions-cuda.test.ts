/** Token sessions on the CUDA backend, emulated: an answer's bits do not depend on what runs beside it. */
import { PLAIN_SAMPLING, type SessionToken } from "@proofmill/core";
import { skipped } from "@proofmill/core/testing";
import { loadModel, type NativeRunner } from "@proofmill/native";
import { expect, onTestFinished, test } from "vitest";
import { emulatedCuda, notEmulated } from "./cuda.ts";
import { goldenModel } from "./golden.ts";

const PROMPTS = [3, 70, 1, 20].map((length, i) =>
  Uint32Array.from({ length }, (_, j) => (i * 31 + j * 7) % 300),
);

/** Greatest error of a logprob beside the CPU's, in shares of the logprobs' root mean square. */
const BOUNDS = { float32: 1e-5, bfloat16: 5e-2 };

const LOADS = emulatedCuda().flatMap((options) =>
  (["float32", "bfloat16"] as const).map((dtype) => ({ options, dtype })),
);

let nextId = 0;

async function ask(
  runner: NativeRunner,
  prompt: Uint32Array,
  enforced_tokens = new Uint32Array(),
): Promise<SessionToken[]> {
  const tokens: SessionToken[] = [];
  await runner.openSession(
    {
      id: nextId++,
      caller: 0,
      ...{ prompt, max_tokens: 3, stop_tokens: new Uint32Array(), enforced_tokens },
      sampling: { ...PLAIN_SAMPLING, temperature: 0, top_logprobs: 20 },
    },
    (token) => tokens.push(token),
  );
  return tokens;
}

test.each(LOADS)("answers in $dtype", async ({ options, dtype }) => {
  const load = async (choice: object) => {
    const sessions = { maxNumSeqs: 4, kvCacheMemory: 2 ** 20 };
    const directory = goldenModel("qwen3-tiny-strong");
    const runner = await loadModel({ directory, dtype, sessions, ...choice });
    onTestFinished(() => runner.close());
    return runner;
  };
  const runner = await load(options);
  const alone: SessionToken[][] = [];
  for (const prompt of PROMPTS) alone.push(await ask(runner, prompt));
  // Shapes never change, so that a row has the same bits together, and when it is computed again.
  expect(await Promise.all(PROMPTS.map((prompt) => ask(runner, prompt)))).toEqual(alone);
  for (const [i, prompt] of PROMPTS.entries()) {
    const [first, second] = alone[i] ?? [];
    const again = await ask(runner, Uint32Array.of(...prompt, first?.id ?? 0));
    expect(again[0]).toEqual(second);
  }
  const [prompt = new Uint32Array(), ids] = [PROMPTS[0], alone[0]?.map(({ id }) => id)];
  expect(await ask(runner, prompt, Uint32Array.from(ids ?? []))).toEqual(alone[0]);
  const cpu = await load({ device: "cpu" });
  for (const [i, prompt] of PROMPTS.entries()) {
    const ids = Uint32Array.from(alone[i] ?? [], ({ id }) => id);
    const there = (await ask(cpu, prompt, ids)).map(({ logprob }) => logprob);
    const errors = alone[i]?.map(({ logprob }, j) => logprob - (there[j] ?? Number.NaN)) ?? [];
    expect(errors).toHaveLength(3);
    expect(Math.hypot(...errors) / Math.hypot(...there)).toBeLessThan(BOUNDS[dtype]);
  }
  expect(runner.sessionStats).toMatchObject({ pages_in_use: 0, running: 0 });
});

test.skipIf(skipped(notEmulated))(
  "a cache as large as is accepted leaves room for steps and for the search",
  async () => {
    const load = (kvCacheMemory: number) =>
      loadModel({
        ...{ directory: goldenModel("qwen3-tiny-strong"), dtype: "float32", ...LOADS[0]?.options },
        ...{ gpuMemoryUtilization: 0.001, maxModelLen: 2048 },
        sessions: { maxNumSeqs: 4, kvCacheMemory },
      });
    let [accepted, refused] = [2 ** 17, 2 ** 23];
    while (refused - accepted > 2 ** 16) {
      const middle = (accepted + refused) / 2;
      const loaded = await load(middle).catch((error: Error) => error.message);
      if (typeof loaded === "string") {
        expect(loaded).toMatch(
          /^inference needs .* beside the weights and the search, .* are available; --no-inference/,
        );
        refused = middle;
      } else {
        await loaded.close();
        accepted = middle;
      }
    }
    expect(refused).toBeLessThan(2 ** 23);
    const runner = await load(accepted);
    onTestFinished(() => runner.close());
    for (let times = 0; times < 2; times++) {
      const answers = await Promise.all(PROMPTS.map((prompt) => ask(runner, prompt)));
      expect(answers.map(({ length }) => length)).toEqual(PROMPTS.map(() => 3));
      const output = { kind: "logits" } as const;
      const job = { id: times, seq_len: 256, input_seeds: Uint32Array.of(1), output };
      expect((await runner.run(job)).completed).toBe(1);
    }
  },
);

test.each(LOADS)("a prompt of several steps, in $dtype", async ({ options, dtype }) => {
  const sessions = { maxNumSeqs: 4, kvCacheMemory: 2 ** 24 };
  const directory = goldenModel("qwen3-tiny");
  const load = async (choice: object) => {
    const runner = await loadModel({ directory, dtype, sessions, ...choice });
    onTestFinished(() => runner.close());
    return runner;
  };
  const [runner, cpu] = [await load(options), await load({ device: "cpu" })];
  // More than a step has, so that of one step no end is read, and more than a chunk of keys has.
  const length = dtype === "bfloat16" ? 2100 : 800;
  const prompt = Uint32Array.from({ length }, (_, i) => (i * 7) % 300);
  const [here, there] = [await ask(runner, prompt), await ask(cpu, prompt)];
  const errors = here.map(({ logprob }, i) => logprob - (there[i]?.logprob ?? Number.NaN));
  expect(errors).toHaveLength(3);
  expect(Math.hypot(...errors) / Math.hypot(...there.map(({ logprob }) => logprob))).toBeLessThan(
    BOUNDS[dtype],
  );
});
