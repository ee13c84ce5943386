/** How fast a search runs on this machine, beside what the machine could do at best. */
import { availableParallelism, cpus } from "node:os";
import type { PrefillOutput } from "@proofmill/core";
import type { NativeModel, Stages } from "./binding.ts";
import { type DeviceChoice, resolveDevice } from "./device.ts";
import { loadNative } from "./load-native.ts";
import { refuseTooLarge } from "./model/memory.ts";
import type { ModelConfig } from "./model/model-config.ts";
import type { Precision } from "./model/precision.ts";
import { flopsPerNonce, shapeConfig } from "./model/shapes.ts";
import { requiredTensors } from "./model/weights.ts";
import { longestSequence } from "./pass-memory.ts";

export interface RandomShapeOptions extends DeviceChoice {
  /** One of `SHAPES`; its weights are random and only in memory. */
  shape: string;
  dtype: Precision;
  /** Whether token sessions are measured. */
  embedsTokens?: boolean;
}

export interface PrefillBenchOptions extends RandomShapeOptions {
  /** 1 … the shape's context. */
  seqLen: number;
  /** Nonces of a job, ≥ 1; on a GPU at least as many as go through it together. */
  batch: number;
  /** Measured runs, of which the median counts; ≥ 1. */
  repeats: number;
  /** What nonces yield; distances by default. Artifacts are measured beside distances, by turns. */
  output?: BenchOutput;
}

const BENCH_OUTPUTS = ["distance", "artifact"] as const;
type BenchOutput = (typeof BENCH_OUTPUTS)[number];

/** Jobs under way at once: as in a round, the next one is there when one is done. */
const JOBS_AT_ONCE = 2;
/** A run is at least so many seconds of jobs: what one takes on a GPU is too short to be timed. */
const RUN_SECONDS = 0.5;
/** Numbers of an artifact. */
const K_DIM = 12;

export interface PrefillBench {
  shape: string;
  dtype: Precision;
  seq_len: number;
  batch: number;
  arithmetic: string;
  output: BenchOutput;
  /** Artifacts per second in shares of distances per second, the median of the runs; of artifacts alone. */
  of_distances?: number;
  /** Medians of the runs. */
  nonces_per_second: number;
  gflops: number;
  gflop_per_nonce: number;
  /** The device's own, measured between the runs: see `NativeModel.peakFlops`. */
  peak_gflops: number;
  /** The median of the runs, each beside the mean of the peaks before and after it. */
  percent_of_peak: number;
  /** Shares of the time of a job that was run for them, in percent. */
  stages: Stages;
  machine: { cpu: string; device: string; cores: number; node: string };
  load_seconds: number;
  peak_rss_mib: number;
}

/**
 * Loads a model of a shape with random weights, which are only in memory.
 *
 * @throws Error naming the shapes there are; as `loadModel` where the device cannot be used or has
 *   too little memory
 */
export async function loadShape(
  options: RandomShapeOptions,
): Promise<{ model: NativeModel; config: ModelConfig }> {
  const { shape, dtype, embedsTokens = false } = options;
  const config = { ...shapeConfig(shape), embeds_tokens: embedsTokens };
  const device = resolveDevice(options);
  if (!device.cuda) refuseTooLarge({ directory: shape, config, dtype });
  const required = [...requiredTensors(config)];
  const tensors = Object.fromEntries(
    required.map(([name, shape], seed) => [name, { dtype: "BF16" as const, shape, seed }]),
  );
  return { model: await loadNative({ config, tensors, dtype, device }), config };
}

/** Measures the search of one shape; peak and search take turns, since machines drift. */
export async function benchPrefill(options: PrefillBenchOptions): Promise<PrefillBench> {
  const { shape, dtype, seqLen, repeats, output = "distance" } = options;
  const context = shapeConfig(shape).max_position_embeddings;
  if (seqLen > context) {
    throw new Error(`seq_len ${seqLen} is more than the context of ${shape}, ${context}`);
  }
  const started = performance.now();
  const { model, config } = await loadShape(options);
  const load_seconds = (performance.now() - started) / 1000;
  try {
    const longest = longestSequence(model);
    if (seqLen > longest) {
      throw new Error(`seq_len ${seqLen} does not fit into memory, ${longest} would`);
    }
    const pass = Math.max(1, Math.floor(model.preferredTokens / seqLen));
    // As in a node: a job on a GPU has at least a whole pass, which takes as long with fewer.
    const batch = model.device.startsWith("cpu") ? options.batch : Math.max(options.batch, pass);
    // The first runs touch new memory, and a GPU chooses and records its algorithms in them.
    const warm = Math.min(batch, pass);
    const measure = (kind: BenchOutput, size: { batch: number; jobs: number }) =>
      seconds(model, { ...size, seqLen, output: benchOutput(kind, config, size.batch) });
    const kinds = output === "artifact" ? BENCH_OUTPUTS : [output];
    for (const kind of kinds) {
      for (let i = 0; i < 2; i++) await measure(kind, { batch: warm, jobs: 1 });
    }
    const once = await measure(output, { batch: warm, jobs: 1 });
    const jobs = Math.max(1, Math.ceil((RUN_SECONDS * warm) / (once * batch)));
    // An artifact is made without the head.
    const head = output === "artifact" ? 2 * config.vocab_size * config.hidden_size : 0;
    const flops = flopsPerNonce(config, seqLen) - head;
    const rates: number[] = [];
    const peaks: number[] = [];
    const shares: number[] = [];
    const ofDistances: number[] = [];
    let before = model.peakFlops();
    for (let i = 0; i < repeats; i++) {
      // In turns that change sides: what one run leaves to the next is each one's by halves.
      const spent = new Map<BenchOutput, number>();
      for (const kind of i % 2 === 0 ? kinds : kinds.toReversed()) {
        spent.set(kind, await measure(kind, { batch, jobs }));
      }
      const own = spent.get(output) ?? Number.NaN;
      const rate = (batch * jobs) / own;
      ofDistances.push((spent.get("distance") ?? Number.NaN) / own);
      const after = model.peakFlops();
      const peak = (before + after) / 2;
      rates.push(rate);
      peaks.push(peak);
      shares.push((rate * flops) / peak);
      before = after;
    }
    const untimed = model.stageSeconds();
    model.timeStages(true);
    await measure(output, { batch: warm, jobs: 1 });
    model.timeStages(false);
    const rate = median(rates);
    return {
      shape,
      dtype,
      seq_len: seqLen,
      batch,
      arithmetic: model.arithmetic,
      output,
      ...(output === "artifact" ? { of_distances: median(ofDistances) } : {}),
      nonces_per_second: rate,
      gflops: (rate * flops) / 1e9,
      gflop_per_nonce: flops / 1e9,
      peak_gflops: median(peaks) / 1e9,
      percent_of_peak: 100 * median(shares),
      stages: stageShares(untimed, model.stageSeconds()),
      machine: {
        cpu: cpus()[0]?.model ?? "unknown",
        device: model.device,
        cores: availableParallelism(),
        node: process.version,
      },
      load_seconds,
      peak_rss_mib: process.resourceUsage().maxRSS / 1024,
    };
  } finally {
    await model.close();
  }
}

async function seconds(
  model: NativeModel,
  options: { seqLen: number; batch: number; jobs: number; output: PrefillOutput },
): Promise<number> {
  const { seqLen, batch, jobs, output } = options;
  const input_seeds = seedsOf(batch);
  const started = performance.now();
  let given = 0;
  const giveAll = async () => {
    while (given < jobs) {
      await model.run({ id: given++, seq_len: seqLen, input_seeds, output });
    }
  };
  await Promise.all(Array.from({ length: JOBS_AT_ONCE }, giveAll));
  return (performance.now() - started) / 1000;
}

function benchOutput(kind: BenchOutput, config: ModelConfig, batch: number): PrefillOutput {
  if (kind === "distance") return { kind, permutation_seeds: seedsOf(batch), target_seed: 0 };
  return {
    kind,
    k_dim: K_DIM,
    layer_seeds: seedsOf(config.num_hidden_layers),
    pick_seeds: seedsOf(batch),
    rotation_seeds: seedsOf(batch * (K_DIM - 1)),
  };
}

function seedsOf(length: number): Uint32Array {
  return Uint32Array.from({ length }, (_, i) => i);
}

export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

function stageShares(before: Stages, after: Stages): Stages {
  const names = Object.keys(after) as (keyof Stages)[];
  const spent = names.map((name) => [name, after[name] - before[name]] as const);
  const total = spent.reduce((sum, [, time]) => sum + time, 0);
  return Object.fromEntries(
    spent.map(([name, time]) => [name, (100 * time) / total]),
  ) as unknown as Stages;
}
