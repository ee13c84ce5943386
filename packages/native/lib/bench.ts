/** How fast a search runs on this machine, beside what the machine could do at best. */
import { availableParallelism, cpus } from "node:os";
import { addon, type NativeModel, type Precision, type Stages } from "./binding.ts";
import { ropeInvFreq } from "./rope.ts";
import { flopsPerNonce, shapeConfig } from "./shapes.ts";
import { requiredTensors } from "./weights.ts";

export { SHAPES } from "./shapes.ts";

export interface PrefillBenchOptions {
  /** One of `SHAPES`; its weights are random and only in memory. */
  shape: string;
  dtype: Precision;
  /** 1 … the shape's context. */
  seqLen: number;
  /** Nonces per run, ≥ 1. */
  batch: number;
  /** One per core by default. */
  threads?: number;
  /** Measured runs, of which the median counts; ≥ 1. */
  repeats: number;
  /** As in `loadModel`. */
  isa?: string;
}

export interface PrefillBench {
  shape: string;
  dtype: Precision;
  seq_len: number;
  batch: number;
  arithmetic: string;
  /** Medians of the runs. */
  nonces_per_second: number;
  gflops: number;
  gflop_per_nonce: number;
  /** Of the machine's own peak, measured between the runs. */
  peak_gflops: number;
  percent_of_peak: number;
  /** Share of the time of all measured runs, in percent. */
  stages: Stages;
  machine: { cpu: string; device: string; cores: number; node: string };
  load_seconds: number;
  peak_rss_mib: number;
}

/** Measures the search of one shape; peak and search take turns, since machines drift. */
export async function benchPrefill(options: PrefillBenchOptions): Promise<PrefillBench> {
  const { shape, dtype, seqLen, batch, repeats } = options;
  const config = shapeConfig(shape);
  if (seqLen > config.max_position_embeddings) {
    throw new Error(
      `seq_len ${seqLen} is more than the context of ${shape}, ${config.max_position_embeddings}`,
    );
  }
  const threads = options.threads ?? availableParallelism();
  const isa = options.isa ?? (process.env.PROOFMILL_ISA || undefined);
  const started = performance.now();
  const tensors = [...requiredTensors(config)].map(([name, shape], seed) => [
    name,
    { dtype: "BF16" as const, shape, seed },
  ]);
  const model = await addon.loadModel({
    config: {
      ...config,
      rope_inv_freq: ropeInvFreq(config.head_dim, config.rope_theta, config.rope_scaling),
    },
    tensors: Object.fromEntries(tensors),
    dtype,
    threads,
    ...(isa === undefined ? {} : { isa }),
  });
  const load_seconds = (performance.now() - started) / 1000;
  try {
    await seconds(model, seqLen, Math.min(batch, model.preferredBatch)); // pages and tables
    const before = model.stageSeconds();
    const runs: number[] = [];
    const peaks: number[] = [model.peakFlops()];
    for (let i = 0; i < repeats; i++) {
      runs.push(await seconds(model, seqLen, batch));
      peaks.push(model.peakFlops());
    }
    const flops = flopsPerNonce(config, seqLen);
    const rate = batch / median(runs);
    const peak = median(peaks);
    return {
      shape,
      dtype,
      seq_len: seqLen,
      batch,
      arithmetic: model.arithmetic,
      nonces_per_second: rate,
      gflops: (rate * flops) / 1e9,
      gflop_per_nonce: flops / 1e9,
      peak_gflops: peak / 1e9,
      percent_of_peak: (100 * rate * flops) / peak,
      stages: shares(before, model.stageSeconds()),
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

async function seconds(model: NativeModel, seqLen: number, batch: number): Promise<number> {
  const input_seeds = Uint32Array.from({ length: batch }, (_, i) => i);
  const started = performance.now();
  await model.run({
    id: 0,
    seq_len: seqLen,
    input_seeds,
    output: { kind: "distance", permutation_seeds: input_seeds, target_seed: 0 },
  });
  return (performance.now() - started) / 1000;
}

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

function shares(before: Stages, after: Stages): Stages {
  const names = Object.keys(after) as (keyof Stages)[];
  const spent = names.map((name) => [name, after[name] - before[name]] as const);
  const total = spent.reduce((sum, [, time]) => sum + time, 0);
  return Object.fromEntries(
    spent.map(([name, time]) => [name, (100 * time) / total]),
  ) as unknown as Stages;
}
