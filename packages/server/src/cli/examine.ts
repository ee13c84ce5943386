/** What `proofmill doctor` looks at, in its order, and how it is shown. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { posterOptions } from "../callback-options.ts";
import { createPoster } from "../callbacks/request.ts";
import { accessChecks } from "../doctor/access.ts";
import { artifactChecks } from "../doctor/artifacts.ts";
import { callbackChecks } from "../doctor/callback.ts";
import { type Check, type CheckResult, runChecks } from "../doctor/check.ts";
import { deviceChecks } from "../doctor/device.ts";
import { Rates } from "../doctor/rates.ts";
import { systemChecks } from "../doctor/system.ts";
import { startNode } from "../node.ts";
import { stdout } from "../platform/output.ts";
import { countGpus } from "../runners/devices.ts";
import type { ServeConfig } from "../settings/config.ts";
import { provideModel, startModel } from "../start-model.ts";
import { Exit } from "./exit.ts";
import { warnings } from "./warnings.ts";

export interface DoctorOptions {
  callbackUrl?: string;
  seconds: number;
  v2: boolean;
  json: boolean;
}

/**
 * Carries out every check and prints what each has found.
 *
 * @throws Exit with 1 when one has failed
 */
export async function examine(config: ServeConfig, options: DoctorOptions): Promise<void> {
  const { callbackUrl: url, seconds, v2, json } = options;
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
      ...{ url, isSigned: config.callbackSecret !== undefined, isBroker: v2 },
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
  if (v2) {
    const { checks, close } = checksOfArtifacts(config, 1000 * seconds);
    try {
      await carryOut(checks);
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

function checksOfArtifacts(config: ServeConfig, searchMs: number) {
  const { dataDir, pocSeqLen: seqLen, servedModelName: modelName, callbackInterval } = config;
  const rates = dataDir === null ? null : new Rates(dataDir);
  return artifactChecks({
    openNode: () => openNode(config),
    ...{ modelName, seqLen, searchMs, callbackInterval, rates },
  });
}

/** The node that these settings make, but alone: on loopback, without keys, over a folder that goes with it. */
async function openNode(config: ServeConfig) {
  if (!config.enablePoc) throw new Error("PoC is off: give it --enable-poc");
  if (config.protocol === "v1") throw new Error("--protocol v1 takes no rounds of artifacts");
  const folder = mkdtempSync(join(tmpdir(), "proofmill-doctor-"));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  const { callbackAllow, nodeVersion, basePath } = config;
  try {
    const node = await startNode({
      ...config,
      ...{ host: "127.0.0.1", port: 0, dataDir: folder, logLevel: "silent" },
      ...{ apiKey: [], apiKeyFile: undefined, maxRequestsPerSecond: undefined },
      ...{ tlsCert: undefined, tlsKey: undefined, tlsClientCa: undefined },
      callbackAllow: callbackAllow && [...callbackAllow, "127.0.0.1"],
    });
    const close = async () => {
      await node.close();
      remove();
    };
    await node.loaded.catch(async (error) => {
      await close();
      throw error;
    });
    const version = nodeVersion?.[0] === undefined ? "" : `/${nodeVersion[0]}`;
    return { url: node.url + version + basePath, close };
  } catch (error) {
    remove();
    throw error;
  }
}

/** As the node would, but for the length that memory is checked for. */
async function load(device: string, config: ServeConfig) {
  const how = { log: warnings, signal: new AbortController().signal };
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
  return `${word.padEnd(7)} ${name.padEnd(13)} ${seconds.toFixed(1).padStart(6)} s  ${detail}\n`;
}
