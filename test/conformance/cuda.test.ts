/** The CUDA backend, on an emulation of CUDA: what needs no GPU to be known. */

import { setImmediate as nextTurn } from "node:timers/promises";
import { artifactInputs, artifactOutput, type ModelRunner, type PrefillJob } from "@proofmill/core";
import { skipped } from "@proofmill/core/testing";
import { loadModel } from "@proofmill/native";
import { benchPrefill, loadShape } from "@proofmill/native/bench";
import { addon } from "@proofmill/native/binding";
import { countGpus, describeDevices } from "@proofmill/native/devices";
import { nvidiaGpu } from "@proofmill/native/model/nvidia-gpu";
import { resolveDevice } from "@proofmill/native/selftest";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { EMULATED_LIBRARY, emulatedCuda, notEmulated, runChild } from "./cuda.ts";
import { bitsOf, goldenModel, maxDifference } from "./golden.ts";

const emulated = emulatedCuda();
const DIRECTORY = goldenModel("qwen3-tiny-strong");

describe.skipIf(skipped(notEmulated))("emulated CUDA", () => {
  const cuda = { library: EMULATED_LIBRARY, device: 0, memoryUtilization: 0.9 };

  test.each(["float32", "bfloat16"] as const)(
    "every operation in %s agrees with the CPU's on ragged shapes",
    async (dtype) => {
      const checks = await addon.compareOperations({ dtype, threads: 1, cuda });
      expect(checks.filter(({ holds }) => !holds)).toEqual([]);
      expect(new Set(checks.map(({ operation }) => operation)).size).toBe(15);
      // Bit for bit.
      for (const { operation, error, allowed } of checks) {
        if (["inputs", "permutation", "embed", "gather_rows_at"].includes(operation)) {
          expect({ error, allowed }).toEqual({ error: 0, allowed: 0 });
        }
      }
    },
  );

  describe.each(["float32", "bfloat16"] as const)("in %s", (dtype) => {
    let runner: ModelRunner;

    beforeAll(async () => {
      runner = await loadModel({ directory: DIRECTORY, dtype, ...emulated[0] });
    });
    afterAll(() => runner.close());

    async function distances(seeds: number[], seq_len: number, id = 0): Promise<number[]> {
      const input_seeds = Uint32Array.from(seeds);
      const output = { kind: "distance", permutation_seeds: input_seeds, target_seed: 9 } as const;
      const { completed, values } = await runner.run({ id, seq_len, input_seeds, output });
      expect(completed).toBe(seeds.length);
      return bitsOf(values);
    }

    // Several passes, full ones and ones that are filled up, recorded or not.
    test.each([1, 3, 16, 33])(
      "a nonce's bits do not depend on its batch, seq_len %i",
      async (n) => {
        const seeds = Array.from({ length: 11 }, (_, i) => (i * 0x9e3779b9) >>> 0);
        const together = await distances(seeds, n);
        expect(new Set(together).size).toBe(seeds.length);
        for (const i of [0, 5, 10]) {
          expect(await distances(seeds.slice(i, i + 1), n)).toEqual(together.slice(i, i + 1));
        }
        expect(await distances(seeds.toReversed(), n)).toEqual(together.toReversed());
        const doubled = [...seeds.slice(5), ...seeds];
        expect(await distances(doubled, n)).toEqual([...together.slice(5), ...together]);
      },
    );

    test("artifacts: alone, together, backwards, by either generator, after another block's", async () => {
      const nonces = [0, 7, 14, 21, 28];
      const artifacts = async (some: number[], seq_len: number, block_hash = "b") => {
        const block = { block_hash, public_key: "k" };
        const { num_hidden_layers } = runner.info;
        const output = artifactOutput({ ...block, k_dim: 12, num_hidden_layers }, some);
        const inputs = artifactInputs(block, some, seq_len === 16);
        const { values } = await runner.run({ id: 0, seq_len, ...inputs, output });
        const bits = bitsOf(values);
        return some.map((_, i) => bits.slice(12 * i, 12 * (i + 1)));
      };
      for (const seq_len of [5, 16]) {
        const together = await artifacts(nonces, seq_len);
        expect(new Set(together.flat()).size).toBe(12 * nonces.length);
        const other = await artifacts(nonces, seq_len, "other");
        expect(other.flat().some((bit, i) => bit === together.flat()[i])).toBe(false);
        for (const [i, nonce] of nonces.entries()) {
          expect((await artifacts([nonce], seq_len))[0]).toEqual(together[i]);
        }
        expect(await artifacts(nonces.toReversed(), seq_len)).toEqual(together.toReversed());
      }
    });

    test("jobs under way at once keep their own results, also under another target", async () => {
      const seeds = [5, 6, 7, 8, 9];
      const jobs = [1, 2, 3, 4].map((target_seed, id) =>
        runner.run({
          id,
          seq_len: 20,
          input_seeds: Uint32Array.from(seeds),
          output: { kind: "distance", permutation_seeds: Uint32Array.from(seeds), target_seed },
        }),
      );
      const results = (await Promise.all(jobs)).map(({ values }) => bitsOf(values));
      expect(new Set(results.flat()).size).toBe(20);
      for (const [i, target_seed] of [1, 2, 3, 4].entries()) {
        const { values } = await runner.run({
          id: 9,
          seq_len: 20,
          input_seeds: Uint32Array.from(seeds),
          output: { kind: "distance", permutation_seeds: Uint32Array.from(seeds), target_seed },
        });
        expect(results[i]).toEqual(bitsOf(values));
      }
    });

    test("a cut job keeps whole passes", async () => {
      const seeds = Uint32Array.from({ length: 300 }, (_, i) => i);
      const output = { kind: "distance", permutation_seeds: seeds, target_seed: 9 } as const;
      const cut = runner.run({ id: 77, seq_len: 16, input_seeds: seeds, output });
      runner.cancel(77);
      const { completed, values } = await cut;
      expect(completed).toBeLessThan(300);
      expect(values).toHaveLength(completed);
      expect(await distances([0, 1], 16)).toHaveLength(2);
    });
  });

  // A row of 60 numbers ends on no boundary that products may count on.
  test.each(["float32", "bfloat16"] as const)(
    "in %s hidden_size 60 gives the same bits in every pass",
    async (dtype) => {
      const directory = goldenModel("qwen2-tiny-strong");
      const runner = await loadModel({ directory, dtype, ...emulated[0] });
      for (const [seq_len, length] of [
        [3, 24],
        [33, 5],
      ] as const) {
        const seeds = Uint32Array.from({ length }, (_, i) => i + 1);
        const bits = async (input_seeds: Uint32Array) => {
          const output = { kind: "logits" } as const;
          return bitsOf((await runner.run({ id: 0, seq_len, input_seeds, output })).values);
        };
        const together = await bits(seeds);
        const width = together.length / length;
        for (let at = 0; at < length; at += Math.ceil(length / 3)) {
          const alone = await bits(seeds.slice(at, at + 1));
          expect(together.slice(at * width, (at + 1) * width)).toEqual(alone);
        }
      }
      await runner.close();
    },
  );

  test("the tag tells cards, their compilers and precisions apart", async () => {
    const tags: string[] = [];
    for (const device of ["cuda:0", "cuda:1"]) {
      for (const dtype of ["bfloat16", "float32"] as const) {
        const runner = await loadModel({ directory: DIRECTORY, dtype, ...emulated[0], device });
        tags.push(runner.info.arithmetic);
        await runner.close();
      }
    }
    expect(tags).toEqual([
      "cuda-sm90-wgmma-nvcc13000-bf16-1",
      "cuda-emulated_gpu-sm90x2-lt130000-nvcc13000-f32-1",
      "cuda-emulated_2_192gb-sm100x2-lt130000-nvcc13000-driver13000-bf16-1",
      "cuda-emulated_2_192gb-sm100x2-lt130000-nvcc13000-driver13000-f32-1",
    ]);
  });

  test("the bench: random weights made on the device, its peak, its stages", async () => {
    const result = await benchPrefill({
      shape: "qwen3-tiny",
      dtype: "bfloat16",
      seqLen: 8,
      batch: 4,
      repeats: 1,
      ...emulated[0],
    });
    expect(result.machine.device).toBe("cuda:0 (Emulated GPU)");
    expect(result.nonces_per_second).toBeGreaterThan(0);
    expect(result.peak_gflops).toBeGreaterThan(0);
    const { reflect, ...shares } = result.stages;
    expect(reflect).toBe(0);
    expect(Object.values(shares).every((share) => share > 0)).toBe(true);
  });

  test("how fast its memory is read can be measured again and again, and leaves none taken", async () => {
    const { model } = await loadShape({
      shape: "qwen3-tiny",
      dtype: "bfloat16",
      ...emulated[0],
    });
    const before = model.memoryInUse();
    for (let i = 0; i < 2; i++) expect(model.readBandwidth()).toBeGreaterThan(1e6);
    expect(model.memoryInUse()).toBe(before);
    await model.close();
  });

  test("random weights made on the device are those of the CPU", async () => {
    const options = { shape: "qwen3-tiny", dtype: "float32" } as const;
    const job = { id: 0, seq_len: 3, input_seeds: Uint32Array.of(1), output: { kind: "logits" } };
    const [onDevice, onCpu] = await Promise.all(
      [{ ...emulated[0] }, { device: "cpu" }].map(async (choice) => {
        const { model } = await loadShape({ ...options, ...choice });
        const { values } = await model.run(job as PrefillJob);
        await model.close();
        return values;
      }),
    );
    expect(maxDifference(onDevice ?? [], onCpu ?? [])).toBeLessThan(1e-4);
  });

  test("threads of a block in another order give the same bits: no barrier is missing", () => {
    const bits = (order: string) => run({ CUDA_EMULATED_ORDER: order });
    const forward = bits("forward");
    expect(forward).toHaveLength(10);
    expect(forward.flat().every(Number.isInteger)).toBe(true);
    expect(bits("reverse")).toEqual(forward);
  });

  test("after the device has failed nothing is computed any more", () => {
    const outcomes = run({ CUDA_EMULATED_FAIL: "100" });
    const lost = outcomes.findIndex((outcome) => "code" in outcome);
    expect(lost).toBeGreaterThan(0);
    const where = / at \w+\.cc:\d+ on GPU 0, Emulated GPU/;
    expect(outcomes[lost]).toEqual({
      message: expect.stringMatching(
        new RegExp(`^cuda\\w+\\(.*cudaErrorIllegalAddress.*${where.source}$`),
      ),
      code: "DEVICE_LOST",
    });
    expect(outcomes.length).toBeGreaterThan(lost + 1);
    for (const later of outcomes.slice(lost + 1)) {
      expect(later).toHaveProperty("message", expect.stringMatching(where));
    }
  });

  test("a model that does not fit is refused with both numbers", async () => {
    const loading = loadModel({ directory: DIRECTORY, gpuMemoryUtilization: 1e-5, ...emulated[0] });
    await expect(loading).rejects.toThrow(
      /^the model needs 0\.0 GiB of GPU memory \(0\.0 GiB of weights\), 0\.0 GiB are left on GPU 0, Emulated GPU: .* of its 8\.0 are in use, and 0 % may be \(--gpu-memory-utilization\)$/,
    );
  });

  test("the longest sequence is what fits; one that does not fit any more fails its job alone", async () => {
    const options = { directory: DIRECTORY, ...emulated[0], gpuMemoryUtilization: 0.0005 };
    const runner = await loadModel(options);
    const job = (seq_len: number, by = runner) =>
      by.run({ id: 0, seq_len, input_seeds: Uint32Array.of(1), output: { kind: "logits" } });
    const before = await job(16);
    const longest = runner.info.max_seq_len;
    expect(longest).toBeGreaterThan(256);
    expect(longest).toBeLessThan(runner.info.max_position_embeddings);
    await expect(job(longest + 1)).rejects.toThrow(`expected 1 … ${longest}, the most that`);

    const other = await loadModel(options);
    await job(other.info.max_seq_len, other);
    await expect(job(longest)).rejects.toThrow(
      /^out of GPU memory: .* are needed, .* are left on GPU 0/,
    );
    expect(await job(16)).toEqual(before);
    await other.close();
    expect((await job(longest)).completed).toBe(1);
    expect(await job(16)).toEqual(before);
    await runner.close();
  });

  test("a long sequence is cut between its layers, and leaves the next one's bits alone", async () => {
    const progress = new Int32Array(1);
    const runner = await loadModel({ directory: DIRECTORY, progress, ...emulated[0] });
    expect(progress).toEqual(Int32Array.of(1));
    const job = (id: number) =>
      runner.run({ id, seq_len: 300, input_seeds: Uint32Array.of(1), output: { kind: "logits" } });
    progress[0] = 0;
    const whole = await job(1);
    expect(progress).toEqual(Int32Array.of(1));
    progress[0] = 0;
    const cut = job(2);
    while (progress[0] === 0) await nextTurn();
    runner.cancel(2);
    expect(await cut).toEqual({ completed: 0, values: new Float32Array() });
    expect(await job(3)).toEqual(whole);
    await runner.close();
  });

  const run = (environment: Record<string, string>) => runChild(DIRECTORY, environment).outcomes;
});

describe("without a GPU", () => {
  const directory = DIRECTORY;

  test("cuda says in a line what is missing", async () => {
    await expect(
      loadModel({ directory, device: "cuda", cudaLibrary: "/nowhere.so" }),
    ).rejects.toThrow(
      /^device cuda cannot be used: \/nowhere\.so is not there; npm run build makes it where a CUDA compiler \(nvcc 12\.4 or later\) is$/,
    );
  });

  test("a library of another build", async () => {
    const loading = loadModel({ directory, device: "cuda:1", cudaLibrary: process.execPath });
    await expect(loading).rejects.toThrow(/^device cuda:1 cannot be used: the CUDA library cannot/);
  });

  test("auto takes the CPU and says why", async () => {
    const notices: string[] = [];
    const runner = await loadModel({
      directory,
      device: "auto",
      cudaLibrary: "/nowhere.so",
      onNotice: (text, level) => notices.push(`${level}: ${text}`),
    });
    expect(runner.info.device).toMatch(/^cpu /);
    expect(notices).toEqual([
      expect.stringMatching(/^warn: no GPU is used: \/nowhere\.so is not there/),
      expect.stringMatching(/^info: 0\.000 GB of weights loaded in [\d.]+ s, [\d.]+ GB\/s$/),
    ]);
    await runner.close();
  });

  test.skipIf(skipped(nvidiaGpu() === "none" ? null : "this machine has an NVIDIA GPU"))(
    "auto says nothing where nobody can have meant a GPU",
    async () => {
      const notices: string[] = [];
      const onNotice = (text: string) => notices.push(text);
      expect(resolveDevice({ device: "auto", onNotice }).cuda).toBeUndefined();
      expect(notices).toEqual([]);
      expect(describeDevices()).toMatchObject({
        devices: [{ id: "cpu" }],
        noGpu: "no NVIDIA GPU was found",
      });
    },
  );

  // What this machine is adds a word on containers, or on its driver.
  test.skipIf(skipped(notEmulated)).each([
    [{ CUDA_EMULATED_DRIVER: "0" }, "libcuda.so.1, which comes with NVIDIA's driver, is not found"],
    [
      { CUDA_EMULATED_DRIVER: "12040" },
      "the NVIDIA driver is too old: it knows CUDA 12.4, and this build needs 13.0, driver 580 or later",
    ],
    [
      { CUDA_EMULATED_MAJOR: "7" },
      "GPU 0, Emulated GPU, has compute capability 7.0: 8.0 or later is needed",
    ],
    [
      { CUDA_VISIBLE_DEVICES: "" },
      'CUDA_VISIBLE_DEVICES is "", which names no GPU that is there: unset it, or name some of nvidia-smi -L',
    ],
  ])("%j: says what was found and what is needed", (environment, reason) => {
    stubEnvironment(environment);
    expect(() => countGpus(EMULATED_LIBRARY)).toThrow(reason);
    expect(() => resolveDevice({ ...emulated[0], device: "cuda:1" })).toThrow(
      `device cuda:1 cannot be used: ${reason}`,
    );
    const notices: string[] = [];
    const onNotice = (text: string) => notices.push(text);
    const auto = resolveDevice({ ...emulated[0], device: "auto", onNotice });
    expect(auto.cuda).toBeUndefined();
    expect(notices).toEqual([expect.stringContaining(`no GPU is used: ${reason}`)]);
  });

  test.skipIf(skipped(notEmulated ?? (nvidiaGpu() === "given" ? "this machine has a GPU" : null)))(
    "a container is told how it gets one",
    () => {
      stubEnvironment({ CUDA_EMULATED_DRIVER: "0", KUBERNETES_SERVICE_HOST: "10.0.0.1" });
      expect(() => countGpus(EMULATED_LIBRARY)).toThrow(
        /is not found; a container gets GPUs by docker's --gpus all, or by nvidia\.com\/gpu in Kubernetes$/,
      );
    },
  );

  function stubEnvironment(variables: Record<string, string>): void {
    for (const [name, value] of Object.entries(variables)) vi.stubEnv(name, value);
    onTestFinished(() => void vi.unstubAllEnvs());
  }

  test.each(["gpu", "cuda:", "cuda:-1", ""])("device %j is refused", async (device) => {
    await expect(loadModel({ directory, device })).rejects.toThrow(
      `device is ${JSON.stringify(device)}, expected auto, cpu, cuda or cuda:N`,
    );
  });

  test.skipIf(skipped(notEmulated))("a GPU past the last one", async () => {
    await expect(loadModel({ directory, ...emulated[0], device: "cuda:2" })).rejects.toThrow(
      "device cuda:2 cannot be used: GPU 2 is not there, there are GPUs 0 to 1",
    );
    stubEnvironment({ CUDA_VISIBLE_DEVICES: "2,3" });
    expect(() => resolveDevice({ ...emulated[0], device: "cuda:2" })).toThrow(
      'GPU 2 is not there, there are GPUs 0 to 1; CUDA_VISIBLE_DEVICES is "2,3", and what it names is numbered from 0',
    );
  });
});
