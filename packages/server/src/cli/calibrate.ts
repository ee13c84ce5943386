/** `proofmill calibrate`: the distances of a block, and the r_target for a wanted share of valid ones. */
import { setTimeout as sleep } from "node:timers/promises";
import {
  calibrate,
  type InitBody,
  MemoryRoundStore,
  PocError,
  PocService,
  type Status,
} from "@proofmill/core";
import { Command, InvalidArgumentError, Option } from "commander";
import { locateModel } from "../models/locate.ts";
import { dataFolder } from "../platform/folders.ts";
import { stderr, stdout } from "../platform/output.ts";
import { onStopSignal } from "../platform/signals.ts";
import { roundIdAfter } from "../round-id.ts";
import type { ProcessRunner } from "../runners/process.ts";
import { type DeviceConfig, DTYPES, type Dtype } from "../settings/config.ts";
import { MAX_THREADS } from "../settings/options.ts";
import { deviceOptions } from "../settings/shared-options.ts";
import { integer } from "../settings/values.ts";
import { Exit } from "./exit.ts";
import { addRemoteOptions, clientOf, orExit, type RemoteOptions } from "./remote.ts";
import { calibrationOf } from "./report.ts";
import { warnings } from "./warnings.ts";

const POLL_MS = 200;
/** Greater than any distance: every nonce is valid, so that every distance is listed. */
const ALL = 3;

interface CalibrateOptions extends RemoteOptions, DeviceConfig {
  blockHash: string;
  publicKey: string;
  rate: number;
  samples: number;
  seqLen?: number;
  revision?: string;
  dtype: Dtype;
  threads?: number;
}

/** A round that lists every distance, on a node or in this process. */
interface Source {
  vocab_size: number;
  begin(body: InitBody): Promise<unknown>;
  status(page: { since: number }): Promise<Status> | Status;
  stop(): Promise<unknown>;
  close(): Promise<void>;
}

export function calibrateCommand(environment: NodeJS.ProcessEnv): Command {
  const command = new Command("calibrate")
    .description("measure a block's distances and the r_target for a wanted share of valid nonces")
    .argument(
      "[model]",
      "directory or hub name; without one the node at --url measures, in a round that takes the place " +
        "of its last one",
    )
    .requiredOption(
      "--block-hash <text>",
      "the block; a trained model needs another r_target for each",
    )
    .option("--public-key <text>", "the key that nonces are computed for", "calibration")
    .option("--rate <x>", "wanted share of valid nonces, between 0 and 1", share, 0.01)
    .option("--samples <n>", "nonces to compute, at least 10", integer(10), 2000)
    .option(
      "--seq-len <n>",
      "tokens per nonce, 1 to the model's context (default: 256, or the node's)",
      integer(1),
    )
    .option("--revision <name>", "branch, tag or commit of a model by name")
    .addOption(new Option("--dtype <type>", "precision").choices(DTYPES).default("auto"))
    .option(
      "--threads <n>",
      `threads on the CPU, 1 to ${MAX_THREADS} (default: one per core)`,
      integer(1, MAX_THREADS),
    );
  for (const option of deviceOptions()) command.addOption(option);
  return addRemoteOptions(command).action((model: string | undefined, options: CalibrateOptions) =>
    orExit(async () => {
      if (options.samples * Math.min(options.rate, 1 - options.rate) < 1) {
        const { samples, rate } = options;
        const text = `${samples} samples are too few for a rate of ${rate}`;
        throw new Exit(1, `${text}: take at least ${Math.ceil(1 / Math.min(rate, 1 - rate))}`);
      }
      const end = new AbortController();
      onStopSignal(() => end.abort());
      const { signal } = end;
      const source =
        model === undefined
          ? await remote(options)
          : await local(model, options, { environment, signal });
      const { distances, arithmetic } = await measure(source, options, signal).finally(() =>
        source.close(),
      );
      const { rate, blockHash: block_hash } = options;
      const result = calibrate({ distances, rate, vocab_size: source.vocab_size });
      const context = { block_hash, arithmetic, vocab_size: source.vocab_size };
      stdout.write(
        options.json
          ? `${JSON.stringify({ ...context, ...result })}\n`
          : calibrationOf(result, { ...context, columns: stdout.columns }),
      );
    }),
  );
}

async function measure(
  source: Source,
  options: CalibrateOptions,
  signal: AbortSignal,
): Promise<{ distances: number[]; arithmetic: string | null }> {
  await source.begin({
    block_hash: options.blockHash,
    block_height: 0,
    public_key: options.publicKey,
    r_target: ALL,
    node_id: 0,
    node_count: 1,
    seq_len: options.seqLen,
  });
  const distances: number[] = [];
  try {
    for (;;) {
      const status = await source.status({ since: distances.length });
      distances.push(...status.valid_distances);
      if (stderr.isTTY) stderr.write(`\r${distances.length} of ${options.samples}`);
      if (distances.length >= options.samples) {
        return { distances: distances.slice(0, options.samples), arithmetic: status.arithmetic };
      }
      if (signal.aborted) throw new Exit(130, "interrupted");
      if (status.state !== "GENERATING" || status.block_hash !== options.blockHash) {
        throw new Exit(1, "the round was stopped from elsewhere");
      }
      await sleep(POLL_MS, undefined, { signal }).catch(() => {});
    }
  } finally {
    if (stderr.isTTY) stderr.write("\r\x1b[K");
    await source.stop();
  }
}

/** A running node; one that works on a round is left alone. */
async function remote(options: CalibrateOptions): Promise<Source> {
  const client = clientOf(options);
  const [{ state }, { vocab_size }] = await Promise.all([
    client.status({ limit: 1 }),
    client.nodeInfo(),
  ]);
  if (state === "GENERATING" || state === "VALIDATING") {
    throw new Exit(1, `the node is ${state}: a calibration would end that round`);
  }
  if (vocab_size === null) throw new Exit(1, "the node's model is not loaded yet");
  return {
    vocab_size,
    begin: (body) => client.initGenerate(body as Parameters<typeof client.initGenerate>[0]),
    status: (page) => client.status(page),
    stop: () => client.stop(),
    close: async () => {},
  };
}

/** A model that is loaded for the measurement alone, in a process that ends with it. */
async function local(
  model: string,
  options: CalibrateOptions,
  { environment, signal }: { environment: NodeJS.ProcessEnv; signal: AbortSignal },
): Promise<Source> {
  const { revision, seqLen: pocSeqLen = 256 } = options;
  const { dtype, device, gpuMemoryUtilization, threads } = options;
  const fail = (error: unknown): never => {
    if (signal.aborted) throw new Exit(130, "interrupted");
    throw new Exit(1, error instanceof Error ? error.message : String(error));
  };
  const { provideModel, startModel } = await import("../start-model.ts");
  let runner: ProcessRunner;
  try {
    const { directory, config, download } = locateModel({ model, revision, environment });
    const named = {
      model: directory,
      modelConfig: config,
      download,
      dtype,
      device,
      gpuMemoryUtilization,
      threads,
      pocSeqLen,
      dataDir: dataFolder(),
    };
    const how = { log: warnings, signal };
    runner = await startModel(await provideModel(named, how), named, how);
  } catch (error) {
    return fail(error);
  }
  const service = await PocService.open({
    enabled: true,
    store: new MemoryRoundStore(),
    newRoundId: roundIdAfter,
    defaults: { batch_size: 32, seq_len: pocSeqLen },
  });
  const detach = service.attach(runner);
  void runner.ended.then(detach);
  const orFail = (error: unknown) =>
    error instanceof PocError ? fail(error) : Promise.reject(error);
  return {
    vocab_size: runner.info.vocab_size,
    begin: (body) => service.initGenerate(body).catch(orFail),
    status: (page) => service.status(page),
    stop: () => service.stop(),
    close: async () => {
      await service.close();
      await runner.close();
    },
  };
}

function share(value: string): number {
  const number = value.trim() === "" ? Number.NaN : Number(value);
  if (number > 0 && number < 1) return number;
  throw new InvalidArgumentError("Expected a number between 0 and 1.");
}
