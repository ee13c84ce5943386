import type { ModelRunner, PrefillJob, PrefillResult } from "@proofmill/core";
import { describe, expect, test } from "vitest";
import { loadShape } from "../bench.ts";
import { addon } from "../binding.ts";
import { loadModel } from "../index.ts";
import type { Precision } from "../model/precision.ts";
import { artifactCheck } from "./artifacts.ts";
import { type Check, type Device, runChecks } from "./check.ts";
import { goldenCheck, goldenDirectory } from "./golden.ts";
import { selftest } from "./index.ts";
import { invarianceCheck } from "./invariance.ts";
import { operationsCheck } from "./operations.ts";
import { steadyCheck } from "./steady.ts";

type Lie = (values: Float32Array, job: PrefillJob) => void;

/** The CPU, whose results `lie` spoils and whose memory `memory` tells. */
function device(lie: Lie = () => {}, memory = () => 0): Device {
  const lying =
    (runner: { run(job: PrefillJob): Promise<PrefillResult> }) => async (job: PrefillJob) => {
      const result = await runner.run(job);
      lie(result.values, job);
      return result;
    };
  return {
    kind: "cpu",
    loadGolden: async (model, dtype): Promise<ModelRunner> => {
      const directory = goldenDirectory(model);
      const runner = await loadModel({ directory, dtype, device: "cpu" });
      return Object.assign(Object.create(runner), {
        run: lying(runner),
        close: () => runner.close(),
      });
    },
    compareOperations: (dtype) => addon.compareOperations({ dtype, threads: 1 }),
    loadSearch: async () => {
      const options = { shape: "qwen3-tiny", dtype: "bfloat16", device: "cpu" } as const;
      const { model } = await loadShape(options);
      const { device, arithmetic } = model;
      const close = () => model.close();
      const search = { run: lying(model), memoryInUse: memory, close, device, arithmetic };
      return { model: search, shape: options.shape, seqLen: 4, batch: 4 };
    },
  };
}

async function outcome(check: Check, lie?: Lie, memory?: () => number) {
  const [result] = await runChecks([check], device(lie, memory));
  return result;
}

test("all of it passes on the CPU", async () => {
  const seen: string[] = [];
  const notices: string[] = [];
  const result = await selftest({
    device: "auto",
    cudaLibrary: "/nowhere.so",
    onNotice: (text) => notices.push(text),
    threads: 2,
    seconds: 1,
    onResult: ({ name }) => seen.push(name),
  });
  expect(result.checks.filter(({ ok }) => !ok)).toEqual([]);
  expect(result).toMatchObject({ device: "cpu", ok: true });
  expect(seen).toHaveLength(9);
  expect(notices).toEqual([expect.stringMatching(/^no GPU is used: \/nowhere\.so is not there/)]);
  const said = Object.fromEntries(result.checks.map(({ name, detail }) => [name, detail]));
  // As nobody would write 0.00002 or 1e+3, and no golden vector is left out.
  expect(said["golden artifacts, float32"]).toMatch(
    /^180 vectors of 6 models: within \d\.\de-7, .*\(allowed 2\.0e-5, 2\.0e-5\); 1\d\d were compared as text too$/,
  );
  expect(said["golden artifacts, bfloat16"]).toMatch(/; as text none is near enough to compare$/);
  expect(said["steady search, 1 s"]).toMatch(
    /the first; (\d+(\.\d+)?, ){5}\d+(\.\d+)? nonces\/s; /,
  );
});

describe("golden models", () => {
  const spoil =
    (by: number): Lie =>
    (values, { output, seq_len }) => {
      if (output.kind === "distance" && seq_len === 256) values[0] = (values[0] ?? 0) + by;
    };

  test("a distance that is a little off", async () => {
    const result = await outcome(goldenCheck("float32"), spoil(3e-6));
    expect(result).toMatchObject({ ok: false });
    expect(result?.detail).toMatch(/are off, first llama-tiny, nonce \d+, seq_len 256$/);
  });

  test("one that is not a number", async () => {
    expect(await outcome(goldenCheck("bfloat16"), spoil(Number.NaN))).toMatchObject({ ok: false });
  });

  test("logits of another size", async () => {
    const lie: Lie = (values, { output }) => {
      if (output.kind === "logits")
        for (const i of values.keys()) values[i] = (values[i] ?? 0) * 1.1;
    };
    expect(await outcome(goldenCheck("bfloat16"), lie)).toMatchObject({ ok: false });
  });
});

describe("golden artifacts", () => {
  const spoil =
    (by: number): Lie =>
    (values, { output, seq_len }) => {
      if (output.kind === "artifact" && seq_len === 256) values[11] = (values[11] ?? 0) + by;
    };

  test("a vector that is a little off", async () => {
    const result = await outcome(artifactCheck("float32"), spoil(3e-5));
    expect(result).toMatchObject({ ok: false });
    expect(result?.detail).toMatch(/are off, first llama-tiny, nonce \d+, seq_len 256$/);
  });

  test("one that is not a number", async () => {
    expect(await outcome(artifactCheck("bfloat16"), spoil(Number.NaN))).toMatchObject({
      ok: false,
    });
  });

  test("picks in another order", async () => {
    const result = await outcome(artifactCheck("bfloat16"), (values, { output }) => {
      if (output.kind === "artifact") values.reverse();
    });
    expect(result).toMatchObject({ ok: false });
  });
});

describe("batch invariance", () => {
  test("bits that follow the batch's size", async () => {
    const result = await outcome(invarianceCheck("float32"), (values) => {
      if (values.length === 3) values[2] = 1;
    });
    expect(result).toMatchObject({ ok: false });
    expect(result?.detail).toContain("not the same 3 at once at 1");
  });

  test("bits that follow the place", async () => {
    const result = await outcome(invarianceCheck("bfloat16"), (values) => {
      if (values.length > 1) values[1] = (values[1] ?? 0) + 1e-6;
    });
    expect(result).toMatchObject({ ok: false });
  });
});

describe("steady search", () => {
  test("a bit that flips once", async () => {
    let jobs = 0;
    const result = await outcome(steadyCheck(1), (values) => {
      if (++jobs === 20) values[3] = (values[3] ?? 0) + 1e-6;
    });
    expect(result).toMatchObject({ ok: false });
    expect(result?.detail).toContain("1 with other bits than the first");
  });

  test("memory of the device that grows", async () => {
    let bytes = 0;
    const grow = () => {
      bytes += 2 ** 21;
      return bytes;
    };
    const result = await outcome(steadyCheck(1), undefined, grow);
    expect(result).toMatchObject({ ok: false });
    expect(result?.detail).toContain("GPU 2 → 4");
  });
});

test("an operation that is off is named with its shape", async () => {
  const check: Check = {
    name: "",
    run: (real) =>
      operationsCheck("float32").run({
        ...real,
        compareOperations: async (dtype: Precision) => {
          const rows = await real.compareOperations(dtype);
          return rows.map((row) =>
            row.operation === "attention" ? { ...row, error: Number.NaN, holds: false } : row,
          );
        },
      }),
  };
  const result = await outcome(check);
  expect(result).toMatchObject({ ok: false });
  expect(result?.detail).toMatch(/12 are off, first attention 4\/2 heads of 12, .*: NaN, allowed/);
});

test("what throws has failed, and the others go on", async () => {
  const broken: Check = { name: "broken", run: () => Promise.reject(new Error("no such thing")) };
  const fine: Check = { name: "fine", run: async () => ({ ok: true, detail: "" }) };
  expect(await runChecks([broken, fine], device())).toMatchObject([
    { name: "broken", ok: false, detail: "no such thing" },
    { name: "fine", ok: true },
  ]);
});
