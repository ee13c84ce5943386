/** `proofmill bench`: how fast this machine searches. */

import type { PrefillBench, PrefillBenchOptions } from "@proofmill/native/bench";
import type { DecodeBench, DecodeBenchOptions } from "@proofmill/native/bench-decode";
import type { OnNotice } from "@proofmill/native/model/config";
import { PRECISIONS } from "@proofmill/native/model/precision";
import { SHAPES } from "@proofmill/native/model/shapes";
import { Command, Option } from "commander";
import { say, stdout } from "../platform/output.ts";
import { MAX_THREADS } from "../settings/options.ts";
import { deviceOptions } from "../settings/shared-options.ts";
import { integer } from "../settings/values.ts";
import { Exit } from "./exit.ts";
import { rateOf } from "./report.ts";

/** More would not be faster, and take long. */
const MAX_BATCH = 65_536;

/** What `bench` alone measures: the demo model, and a real one for a few seconds. */
const SHORT: readonly PrefillBenchOptions[] = [
  { shape: "qwen3-tiny", dtype: "bfloat16", seqLen: 32, batch: 256, repeats: 5 },
  { shape: "qwen3-0.6b", dtype: "bfloat16", seqLen: 64, batch: 16, repeats: 3 },
];

export function benchCommand(): Command {
  const command = new Command("bench").description(
    "measure this machine; alone: the searches of two shapes, in short",
  );
  command.action(async () => {
    let onNotice: OnNotice | undefined = say; // said once
    for (const options of SHORT) {
      await prefill({ ...options, onNotice }, false);
      onNotice = undefined;
    }
  });
  const prefillCommand = command
    .command("prefill")
    .description("the search of a model shape with random weights, beside the machine's peak")
    .addOption(new Option("--shape <name>", "model shape").choices(SHAPES).default("qwen3-0.6b"))
    .addOption(
      new Option("--dtype <type>", "precision of matrix inputs")
        .choices(PRECISIONS)
        .default("bfloat16"),
    )
    .option("--seq-len <n>", "tokens per nonce, 1 to the shape's context", integer(1), 256)
    .option(
      "--batch <n>",
      `nonces of a job, 1 to ${MAX_BATCH}; on a GPU at least a pass's`,
      integer(1, MAX_BATCH),
      32,
    )
    .addOption(
      new Option("--output <kind>", "what nonces yield; artifacts are measured beside distances")
        .choices(["distance", "artifact"])
        .default("distance"),
    )
    .option(
      "--threads <n>",
      `threads on the CPU, 1 to ${MAX_THREADS} (default: one per core)`,
      integer(1, MAX_THREADS),
    )
    .option("--repeats <n>", "runs, of which the median counts", integer(1), 5)
    .option("--json", "print one JSON object and nothing else", false)
    .action(async ({ json, ...options }: PrefillBenchOptions & { json: boolean }) => {
      await prefill({ ...options, onNotice: say }, json);
    });
  const decodeCommand = command
    .command("decode")
    .description("token sessions of a model shape with random weights, beside memory and search")
    .addOption(new Option("--shape <name>", "model shape").choices(SHAPES).default("qwen3-0.6b"))
    .addOption(
      new Option("--dtype <type>", "precision of matrix inputs")
        .choices(PRECISIONS)
        .default("bfloat16"),
    )
    .option("--prompt-len <n>", "tokens of a prompt, at least 1", integer(1), 256)
    .option("--tokens <n>", "tokens of an answer, at least 16", integer(16), 64)
    .option("--clients <n>", "sessions that run at once, 1 to 64", integer(1, 64), 8)
    .option(
      "--threads <n>",
      `threads on the CPU, 1 to ${MAX_THREADS} (default: one per core)`,
      integer(1, MAX_THREADS),
    )
    .option("--repeats <n>", "runs, of which the median counts", integer(1), 3)
    .option("--json", "print one JSON object and nothing else", false)
    .action(async ({ json, ...options }: DecodeBenchOptions & { json: boolean }) => {
      const { benchDecode } = await import("@proofmill/native/bench-decode");
      const result = await benchDecode({ ...options, onNotice: say }).catch((error: Error) => {
        throw new Exit(1, error.message);
      });
      stdout.write(json ? `${JSON.stringify(result)}\n` : decodeTable(result));
    });
  for (const option of deviceOptions()) {
    prefillCommand.addOption(option);
    decodeCommand.addOption(option);
  }
  return command;
}

function decodeTable(result: DecodeBench): string {
  const { shape, device, arithmetic, weight_bytes, bandwidth, percent_of_memory } = result;
  const { one, all, clients } = result;
  const ofMemory =
    `${percent_of_memory.toFixed(1)} % of what memory allows, ` +
    `${(bandwidth / 1e9).toFixed(1)} GB/s for ${(weight_bytes / 1e9).toFixed(2)} GB a token`;
  return [
    `decode ${shape}, ${device}, ${arithmetic}`,
    `  one session ${one.toFixed(1)} tokens/s: ${ofMemory}`,
    `  ${clients} sessions ${all.toFixed(1)} tokens/s: ${result.times_one.toFixed(2)} times one`,
    `  prompts ${result.prefill.toFixed(0)} tokens/s: ${result.percent_of_search.toFixed(1)} % of a search's`,
    "",
  ].join("\n");
}

async function prefill(options: PrefillBenchOptions, json: boolean): Promise<void> {
  const result = await measure(options).catch((error: Error) => {
    throw new Exit(1, error.message);
  });
  stdout.write(json ? `${JSON.stringify(result)}\n` : table(result));
}

async function measure(options: PrefillBenchOptions): Promise<PrefillBench> {
  // The addon is loaded by no command but this, selftest and the runner's process.
  const { benchPrefill } = await import("@proofmill/native/bench");
  return benchPrefill(options);
}

function table(result: PrefillBench): string {
  const { machine, stages } = result;
  const shares = Object.entries(stages)
    .filter(([, percent]) => percent >= 0.05) // others would be shown as 0.0
    .map(([name, percent]) => `${name} ${percent.toFixed(1)}`)
    .join(", ");
  return [
    `prefill ${result.shape} ${result.dtype}, seq_len ${result.seq_len}, batch ${result.batch}, ` +
      `${result.output}s`,
    `  ${machine.cpu}, ${machine.device}, ${result.arithmetic}`,
    `  ${rateOf(result.nonces_per_second)}, ${result.gflops.toFixed(1)} of ` +
      `${result.peak_gflops.toFixed(1)} GFLOP/s: ${result.percent_of_peak.toFixed(1)} % of peak`,
    ...(result.of_distances === undefined
      ? []
      : [`  ${result.of_distances.toFixed(3)} of the rate of distances, measured by turns`]),
    `  time in percent: ${shares}`,
    `  loaded in ${result.load_seconds.toFixed(1)} s, at most ${Math.round(result.peak_rss_mib)} MiB of memory`,
    "",
  ].join("\n");
}
