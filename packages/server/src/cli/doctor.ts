/** `proofmill doctor`: what would fail in the round that pays, looked for before it. */
import { silentLog } from "@proofmill/core";
import { Command } from "commander";
import { posterOptions } from "../callback-options.ts";
import { createPoster } from "../callbacks/request.ts";
import { accessChecks } from "../doctor/access.ts";
import { callbackChecks } from "../doctor/callback.ts";
import { type Check, type CheckResult, runChecks } from "../doctor/check.ts";
import { deviceChecks } from "../doctor/device.ts";
import { Rates } from "../doctor/rates.ts";
import { systemChecks } from "../doctor/system.ts";
import { stdout } from "../platform/output.ts";
import { countGpus } from "../runners/devices.ts";
import type { ServeConfig } from "../settings/config.ts";
import { addServeOptions } from "../settings/options.ts";
import { readConfig } from "../settings/read.ts";
import { callbackAddress, integer } from "../settings/values.ts";
import { provideModel, startModel } from "../start-model.ts";
import { Exit } from "./exit.ts";

interface DoctorOptions {
  callbackUrl?: string;
  seconds: number;
  json: boolean;
}

export function doctorCommand(environment: NodeJS.ProcessEnv): Command {
  const command = new Command("doctor").description(
    "check what the next round needs, with the arguments of serve and the node stopped: device, " +
      "model, memory, rate, disk, open files, address, keys, TLS, and the aggregator with its clock",
  );
  return addServeOptions(command)
    .option("--callback-url <url>", "the aggregator's, as rounds will name it", callbackAddress)
    .option("--seconds <n>", "how long to time a search, 1 to 3600", integer(1, 3600), 10)
    .option("--json", "print one JSON object and nothing else", false)
    .action(async () => {
      const options = command.opts<DoctorOptions>();
      await examine(readConfig(command, environment), options);
    });
}

async function examine(config: ServeConfig, options: DoctorOptions): Promise<void> {
  const { callbackUrl: url, seconds, json } = options;
  const results: CheckResult[] = [];
  const carryOut = (checks: readonly Check[]) =>
    runChecks(checks, (result) => {
      results.push(result);
      if (!json) stdout.write(row(result));
    });
  await carryOut([
    ...systemChecks(config),
    ...accessChecks(config),
    ...callbackChecks({
      ...{ url, isSigned: config.callbackSecret !== undefined },
      openPoster: () => createPoster(posterOptions(config)),
    }),
  ]);
  const devices = await devicesOf(config);
  for (const device of devices) {
    const { checks, close } = checksOf(device, config, 1000 * seconds);
    const isOne = devices.length === 1;
    try {
      await carryOut(checks.map((each) => (isOne ? each : named(each, `${each.name} ${device}`))));
    } finally {
      await close();
    }
  }
  const count = results.filter(({ state }) => state === "failed").length;
  if (json) stdout.write(`${JSON.stringify({ ok: count === 0, checks: results })}\n`);
  else stdout.write(count === 0 ? "nothing is wrong\n" : `${count} failed\n`);
  if (count > 0) throw new Exit(1, "");
}

function checksOf(device: string, config: ServeConfig, searchMs: number) {
  const { threads, gpuMemoryUtilization, dataDir, pocSeqLen, servedModelName } = config;
  return deviceChecks({
    load: () => load(device, config),
    selftest: async () => {
      // The addon is loaded by no command but this, bench, self-test and the runner's process.
      const { selftestInShort } = await import("@proofmill/native/selftest");
      return selftestInShort({ device, threads, gpuMemoryUtilization });
    },
    ...{ seqLen: pocSeqLen, searchMs, modelName: servedModelName },
    rates: dataDir === null ? null : new Rates(dataDir),
  });
}

/** As the node would, but for the length that memory is checked for. */
async function load(device: string, config: ServeConfig) {
  const how = { log: silentLog, signal: new AbortController().signal };
  const one = { ...config, device, pocSeqLen: 1 };
  return startModel(await provideModel(one, how), one, how);
}

/** Each device once: they are examined one after the other, each with all threads. */
async function devicesOf({ devices }: ServeConfig): Promise<string[]> {
  const all = await Promise.all(
    devices.map(async (device) => {
      if (device !== "cuda:all") return [device];
      const gpus = await countGpus().catch(({ message }: Error) => {
        throw new Exit(1, message);
      });
      return Array.from({ length: gpus }, (_, i) => `cuda:${i}`);
    }),
  );
  return [...new Set(all.flat())];
}

function named(check: Check, name: string): Check {
  return { name, run: () => check.run() };
}

function row({ name, state, seconds, detail }: CheckResult): string {
  const word = state === "failed" ? "FAILED" : state;
  return `${word.padEnd(7)} ${name.padEnd(12)} ${seconds.toFixed(1).padStart(6)} s  ${detail}\n`;
}
