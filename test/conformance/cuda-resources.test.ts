/** What the CUDA backend takes and gives back, and what of its surroundings reaches its numbers. */

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { skipped } from "@proofmill/core/testing";
import { loadModel } from "@proofmill/native";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { EMULATED_LIBRARY, emulatedCuda, notEmulated, runChild } from "./cuda.ts";
import { goldenModel } from "./golden.ts";

const emulated = emulatedCuda();
const DIRECTORY = goldenModel("qwen2-tiny-strong");

describe.skipIf(skipped(notEmulated))("emulated CUDA", () => {
  const report = { CUDA_EMULATED_REPORT: "1" };
  const nothingLeft = "emulated CUDA: 0 buffers, 0 pinned, 0 objects left; ";

  let search: ReturnType<typeof runChild>;
  beforeAll(() => {
    search = runChild(DIRECTORY, report);
  });

  test("a search frees nothing that is in use, and leaves nothing behind", () => {
    expect(search.outcomes.flat().every(Number.isInteger)).toBe(true);
    expect(search.stderr).toBe(`${nothingLeft}0 freed under way\n`);
  });

  test.each([
    ["has no cuBLASLt", { PROOFMILL_CUBLASLT: "/nowhere.so" }],
    ["has no memory for a matrix", { CUDA_EMULATED_NO_MEMORY: "20" }],
    ["has no memory for an algorithm's check", { CUDA_EMULATED_NO_MEMORY: "70" }],
    ["loses its GPU", { CUDA_EMULATED_FAIL: "100" }],
  ])("a process that %s leaves nothing behind", (_, environment) => {
    const { outcomes, stderr } = runChild(DIRECTORY, { ...report, ...environment });
    expect(outcomes.some((outcome) => "message" in outcome)).toBe(true);
    expect(stderr).toContain(nothingLeft);
  });

  describe("memory that cannot be had", () => {
    afterEach(() => {
      delete process.env.CUDA_EMULATED_NO_MEMORY;
    });

    // Allocations of a length's first pass in turn, every third: buffers, pinned memory, what the
    // checks of algorithms take.
    test("fails one job, and no more", async () => {
      const device = "cuda:1"; // which multiplies with cuBLASLt
      const runner = await loadModel({ directory: DIRECTORY, ...emulated[0], device });
      const seeds = Uint32Array.of(1);
      const job = async (seq_len: number) => {
        const output = { kind: "distance", permutation_seeds: seeds, target_seed: 3 } as const;
        return (await runner.run({ id: 0, seq_len, input_seeds: seeds, output })).values[0];
      };
      const errors: { message: string; code?: string }[] = [];
      for (let turn = 0; errors.length === turn; turn++) {
        process.env.CUDA_EMULATED_NO_MEMORY = String(1 + 3 * turn);
        await job(33 + turn).catch((error) => errors.push(error));
        delete process.env.CUDA_EMULATED_NO_MEMORY;
        expect(await job(33 + turn)).toBeCloseTo(Math.SQRT2, 0);
      }
      expect(errors.length).toBeGreaterThan(12);
      for (const { message, code } of errors) {
        expect(message).toMatch(
          /^out of GPU memory: |^cudaMallocHost\(.*cudaErrorMemoryAllocation/,
        );
        expect(code).toBeUndefined();
      }
      await runner.close();
    });
  });

  describe("NVIDIA_TF32_OVERRIDE", () => {
    const TF32 = { NVIDIA_TF32_OVERRIDE: "1" };

    test("changes no bit", () => {
      expect(runChild(DIRECTORY, TF32).outcomes).toEqual(search.outcomes);
    });

    test("is refused where nobody has set it right", () => {
      const child = fileURLToPath(new URL("./cuda-operations-child.mjs", import.meta.url));
      const { stdout, stderr } = spawnSync(process.execPath, [child, EMULATED_LIBRARY], {
        env: { ...process.env, ...TF32 },
        encoding: "utf8",
      });
      expect([stdout, stderr]).toEqual([
        "cuBLASLt 130000 rounds the inputs of float32 products on GPU 0, Emulated GPU: unset " +
          "NVIDIA_TF32_OVERRIDE, or take --dtype bfloat16\n",
        "",
      ]);
    });
  });
});
