/** From a configured model, wherever it is, to a runner that has it loaded. */
import type { Logger } from "@proofmill/core";
import { checkConfig } from "@proofmill/native/memory";
import type { ServeConfig } from "../config.ts";
import { demoModel } from "../demo.ts";
import { checkLengths, readContext } from "../model-directory.ts";
import { stderr } from "../output.ts";
import { type ProcessRunner, startRunner } from "../runners/process.ts";
import { downloadModel } from "./download.ts";
import type { HubModel } from "./locate.ts";

export type ModelConfig = Pick<
  ServeConfig,
  "model" | "download" | "dtype" | "device" | "gpuMemoryUtilization" | "threads" | "pocSeqLen"
> & { maxModelLen?: number | undefined };

/**
 * Makes or downloads the model where it is not there yet, and loads it in a process of its own.
 *
 * @throws Error in one line that says what is wrong; RunnerLost when `signal` aborts
 */
export async function startModel(
  config: ModelConfig,
  options: { log: Logger; signal: AbortSignal },
): Promise<ProcessRunner> {
  const { log, signal } = options;
  const directory =
    config.model ??
    (config.download ? await download(config.download, config, options) : await demo(log));
  log.info({ directory }, "loading the model");
  const runner = await startRunner({
    model: {
      directory,
      dtype: config.dtype,
      device: config.device,
      gpuMemoryUtilization: config.gpuMemoryUtilization,
      ...(config.threads === undefined ? {} : { threads: config.threads }),
      ...(config.maxModelLen === undefined ? {} : { maxModelLen: config.maxModelLen }),
    },
    signal,
    onNotice: (text, level) => log[level]({}, text),
  });
  const { max_seq_len } = runner.info;
  if (config.pocSeqLen <= max_seq_len) return runner;
  await runner.close();
  throw new Error(
    `--poc-seq-len ${config.pocSeqLen} is more than the ${max_seq_len} tokens that fit into memory`,
  );
}

function download(
  named: HubModel,
  config: ModelConfig,
  options: { log: Logger; signal: AbortSignal },
): Promise<string> {
  const { log, signal } = options;
  return downloadModel(named, {
    signal,
    log: { info: (text) => log.info({}, text), warn: (text) => log.warn({}, text) },
    terminal: stderr,
    // What can be refused now is not downloaded first.
    onConfig: async (directory) => {
      checkLengths(config, readContext(directory));
      await checkConfig(directory, config);
    },
  });
}

function demo(log: Logger): Promise<string> {
  log.warn(
    {},
    "no model named: this is the demo model, its weights are random and it is for trying out only",
  );
  return demoModel();
}
