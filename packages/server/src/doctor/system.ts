/** What concerns the machine: disk, open files, and the address that the node will listen on. */
import { closeSync, fsyncSync, openSync, rmSync, statfsSync, writeSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { openFilesLimit } from "../http/connections/connections.ts";
import { listenFault } from "../platform/listen-fault.ts";
import type { ServeConfig } from "../settings/config.ts";
import { SqliteStore } from "../store/sqlite.ts";
import { type Check, type Finding, failed, ok, skipped } from "./check.ts";

/** Finds and verdicts are small; a disk with less is about to be full of something else. */
const LEAST_FREE_BYTES = 2 ** 30;
const SYNCS = 11;
/** Each command and each verdict waits for a sync or two, and an answer has a second. */
const SLOWEST_SYNC_MS = 200;
/** A thousand subscribers, as many callers, the node's own. */
const LEAST_OPEN_FILES = 4096;

export interface SystemLimits {
  openFiles: number;
  /** Bytes. */
  leastFree: number;
}

export function systemChecks(
  config: Pick<ServeConfig, "dataDir" | "host" | "port">,
  limits: Partial<SystemLimits> = {},
): Check[] {
  const { openFiles = openFilesLimit(), leastFree = LEAST_FREE_BYTES } = limits;
  return [
    { name: "disk", run: () => checkDisk(config.dataDir, leastFree) },
    { name: "open files", run: () => checkOpenFiles(openFiles) },
    { name: "address", run: () => checkAddress(config) },
  ];
}

async function checkDisk(folder: string | null, leastFree: number): Promise<Finding> {
  if (folder === null) return skipped("without --enable-poc nothing is stored");
  const store = await SqliteStore.open({ folder }); // says what is wrong, also that a node has it
  try {
    await store.probe();
  } finally {
    await store.close();
  }
  const { bavail, bsize, blocks } = statfsSync(folder);
  const free = bavail * bsize;
  const mib = `${Math.floor(free / 2 ** 20)} MiB free`;
  if (blocks > 0 && free < leastFree) return failed(`${folder}: ${mib}; free some`);
  const milliseconds = syncTime(folder);
  const sync = `fsync takes ${milliseconds.toFixed(1)} ms`;
  if (milliseconds > SLOWEST_SYNC_MS) {
    return failed(`${folder}: ${sync}, more than ${SLOWEST_SYNC_MS}: choose a faster disk`);
  }
  return ok(`${mib}, ${sync}`);
}

/** The median over a few, milliseconds. */
function syncTime(folder: string): number {
  const path = join(folder, "doctor-sync.partial");
  const file = openSync(path, "w", 0o600);
  try {
    const page = Buffer.alloc(4096, 1);
    const times = Array.from({ length: SYNCS }, () => {
      const begin = performance.now();
      writeSync(file, page);
      fsyncSync(file);
      return performance.now() - begin;
    });
    return times.sort((a, b) => a - b)[SYNCS >> 1] ?? 0;
  } finally {
    closeSync(file);
    rmSync(path, { force: true });
  }
}

function checkOpenFiles(limit: number): Finding {
  if (limit >= LEAST_OPEN_FILES) return ok(`${limit} may be open`);
  return failed(
    `${limit} may be open, fewer than ${LEAST_OPEN_FILES}: raise it, e.g. with ulimit -n or LimitNOFILE=`,
  );
}

function checkAddress({ host, port }: Pick<ServeConfig, "host" | "port">): Promise<Finding> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once("error", (fault) =>
      resolve(failed(`cannot listen on ${host} port ${port}: ${listenFault(fault)}`)),
    );
    server.listen({ host, port }, () =>
      server.close(() => resolve(ok(`${host} port ${port} is free`))),
    );
  });
}
