/** `proofmill doctor`: what would fail in the round that pays, looked for before it. */
import { silentLog } from "@proofmill/core";
import { Command } from "commander";
import { posterOptions } from "../callback-options.ts";
import { createPoster } from "../callbacks/request.ts";
import { accessChecks } from "../doctor/access.ts";
import { callbackChecks } from "../doctor/callback.ts";
import { type CheckResult, runChecks } from "../doctor/check.ts";
import { deviceChecks } from "../doctor/device.ts";
import { Rates } from "../doctor/rates.ts";
import { systemChecks } from "../doctor/system.ts";
import { stdout } from "../platform/output.ts";
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
      "model, memory, rate, disk, open files, address and its keys, and the aggregator with its clock",
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
  const { callbackUrl, seconds, json } = options;
  const poster = createPoster(posterOptions(config));
  const device = deviceChecks({
    load: () => load(config),
    selftest: async () => {
      // The addon is loaded by no command but this, bench, self-test and the runner's process.
      const { selftestInShort } = await import("@proofmill/native/selftest");
      const { threads, gpuMemoryUtilization } = config;
      return selftestInShort({ device: firstDevice(config), threads, gpuMemoryUtilization });
    },
    seqLen: config.pocSeqLen,
    searchMs: seconds * 1000,
    rates: config.dataDir === null ? null : new Rates(config.dataDir),
    modelName: config.servedModelName,
  });
  const checks = [
    ...systemChecks(config),
    ...accessChecks(config),
    ...callbackChecks({ url: callbackUrl, poster, isSigned: config.callbackSecret !== undefined }),
    ...device.checks,
  ];
  try {
    const results = await runChecks(checks, (result) => {
      if (!json) stdout.write(row(result));
    });
    const count = results.filter(({ state }) => state === "failed").length;
    if (json) stdout.write(`${JSON.stringify({ ok: count === 0, checks: results })}\n`);
    else stdout.write(count === 0 ? "nothing is wrong\n" : `${count} failed\n`);
    if (count > 0) throw new Exit(1, "");
  } finally {
    await device.close();
    await poster.close();
  }
}

/** As the node would, but for the length that memory is checked for. */
async function load(config: ServeConfig) {
  const how = { log: silentLog, signal: new AbortController().signal };
  const one = { ...config, device: firstDevice(config), pocSeqLen: 1 };
  return startModel(await provideModel(one, how), one, how);
}

/** Of several devices one is examined: the others have its arithmetic, or the node would not start. */
function firstDevice({ devices }: ServeConfig): string {
  const [first = "auto"] = devices;
  return first === "cuda:all" ? "cuda:0" : first;
}

function row({ name, state, seconds, detail }: CheckResult): string {
  const word = state === "failed" ? "FAILED" : state;
  return `${word.padEnd(7)} ${name.padEnd(11)} ${seconds.toFixed(1).padStart(6)} s  ${detail}\n`;
}
