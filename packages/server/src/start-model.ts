/** From a configured model, wherever it is, to a folder that holds it, and to a runner. */
import type { Logger } from "@proofmill/core";
import { contextOf } from "@proofmill/native/model/context";
import {
  checkConfig,
  type RunnersTogether,
  type SessionsOptions,
} from "@proofmill/native/model/memory";
import { ModelCache } from "./models/cache.ts";
import { BlobChecks } from "./models/checks.ts";
import { demoModel } from "./models/demo.ts";
import { checkLengths, readConfigFile } from "./models/directory.ts";
import { downloadModel } from "./models/download.ts";
import type { HubModel } from "./models/locate.ts";
import { stderr } from "./platform/output.ts";
import { type ProcessRunner, startRunner } from "./runners/process.ts";
import type { ServeConfig } from "./settings/config.ts";

type ModelConfig = Pick<
  ServeConfig,
  | "model"
  | "modelConfig"
  | "download"
  | "dtype"
  | "gpuMemoryUtilization"
  | "threads"
  | "pocSeqLen"
  | "dataDir"
> & {
  /** The runner's, for its lines in the log; undefined where it is no node's. */
  id?: string;
  device: string;
  maxModelLen?: number | undefined;
  /** What holds the model beside it; nothing by default. */
  runners?: RunnersTogether | undefined;
  runnerMaxMemory?: number | undefined;
  /** Room for inference; none by default. */
  sessions?: SessionsOptions | undefined;
};

interface StartOptions {
  log: Logger;
  signal: AbortSignal;
}

/** A model that is there, and what its config.json holds where that has been read. */
export interface ModelFolder {
  directory: string;
  config?: unknown;
}

/**
 * Loads a model in a process of its own.
 *
 * @throws Error in one line that says what is wrong; RunnerLost when `signal` aborts
 */
export async function startModel(
  folder: ModelFolder,
  config: ModelConfig,
  { log, signal }: StartOptions,
): Promise<ProcessRunner> {
  const about = config.id === undefined ? {} : { runner: config.id };
  log.info({ ...about, directory: folder.directory }, "loading the model");
  const { dtype, device, gpuMemoryUtilization, threads, maxModelLen, runners, sessions } = config;
  const runner = await startRunner({
    model: {
      ...folder,
      ...{ dtype, device, gpuMemoryUtilization, threads, maxModelLen, runners, sessions },
      maxMemory: config.runnerMaxMemory,
    },
    signal,
    onNotice: (text, level) => log[level](about, text),
  });
  const { max_seq_len } = runner.info;
  if (config.pocSeqLen <= max_seq_len) return runner;
  await runner.close();
  throw new Error(
    `--poc-seq-len ${config.pocSeqLen} is more than the ${max_seq_len} tokens that fit into memory`,
  );
}

/**
 * Makes, checks or downloads the model.
 *
 * @throws Error in one line that says what is wrong, also when `signal` aborts
 */
export async function provideModel(
  config: ModelConfig,
  options: StartOptions,
): Promise<ModelFolder> {
  const { model, modelConfig, download: named } = config;
  const located = model === null ? null : { directory: model, config: modelConfig };
  if (!named) return located ?? { directory: await demo(options.log) };
  const checks = new BlobChecks(config.dataDir);
  if (located && (await isRight(named, checks, options))) return located;
  return download(named, { config, checks, ...options });
}

/**
 * Whether a cached model is what the hub had. What is not is set aside, to be downloaded again.
 *
 * @throws Error in one line, where it may not be downloaded
 */
async function isRight(
  { name, revision: commit, hub }: HubModel,
  checks: BlobChecks,
  { log, signal }: StartOptions,
): Promise<boolean> {
  const cache = new ModelCache(hub.cacheFolder, name);
  const files = cache.blobsOf(commit);
  if (files.some(({ blob }) => !checks.isKnown(blob))) {
    log.info({}, `checking the cached files of ${name} against their hashes, once`);
  }
  let areRight = true;
  for (const { name: file, blob } of files) {
    if (await checks.isRight(blob, signal)) continue;
    areRight = false;
    if (hub.offline) {
      throw new Error(
        `${file} of ${name} is damaged in the cache (${blob}); unset HF_HUB_OFFLINE to download it again`,
      );
    }
    log.warn({ blob }, `${file} of ${name} is damaged in the cache and is downloaded again`);
    await cache.setAside(blob).catch((error: NodeJS.ErrnoException) => {
      throw new Error(`${blob} is damaged and cannot be replaced (${error.code}); remove it`);
    });
  }
  return areRight;
}

async function download(
  named: HubModel,
  { config, checks, log, signal }: StartOptions & { config: ModelConfig; checks: BlobChecks },
): Promise<ModelFolder> {
  let json: unknown;
  const directory = await downloadModel(named, {
    signal,
    checks,
    log: { info: (text) => log.info({}, text), warn: (text) => log.warn({}, text) },
    terminal: stderr,
    // What config.json alone rules out is refused before weights are downloaded.
    onConfig: (directory) => {
      const { dtype, device, runners, runnerMaxMemory: maxMemory, sessions } = config;
      json = readConfigFile(directory);
      checkLengths(config, contextOf(json));
      const copies = runners?.toLoad ?? 1;
      checkConfig(json, { directory, dtype, device, copies, maxMemory, sessions });
    },
  });
  return { directory, config: json };
}

function demo(log: Logger): Promise<string> {
  log.warn(
    {},
    "no model named: this is the demo model, its weights are random and it is for trying out only",
  );
  return demoModel();
}
