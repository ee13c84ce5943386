// Nodes that are started and killed, they and their runners stopped or not, in whatever order: no
// process and no shared memory may be left of them.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { childrenOf, poll, withFolder } from "../node.mjs";

export const about = "nodes killed while they and their runners start, load, run or are stopped";

export const bounds = {
  starts: { least: 4 },
  runners: { least: 1 },
  processes_left: { most: 0 },
  zombies_left: { most: 0 },
  shared_memory_left: { most: 0 },
};

const STARTS = 200;
const BIN = fileURLToPath(new URL("../../../packages/server/bin/proofmill.mjs", import.meta.url));

/** What is done to a node and its runner, in this order; null where there is no runner yet. */
const ENDS = [
  [["node", "SIGKILL"]],
  [
    ["runner", "SIGSTOP"],
    ["node", "SIGKILL"],
  ],
  [
    ["node", "SIGSTOP"],
    ["runner", "SIGSTOP"],
    ["node", "SIGKILL"],
  ],
  [
    ["node", "SIGSTOP"],
    ["runner", "SIGKILL"],
    ["node", "SIGCONT"],
    ["node", "SIGTERM"],
  ],
  [
    ["runner", "SIGSTOP"],
    ["node", "SIGTERM"],
  ],
];

export const play = ({ share }) =>
  withFolder(async (folder) => {
    const shared = () => readdirSync("/dev/shm").length;
    const sharedBefore = shared();
    const starts = Math.max(ENDS.length, Math.round(STARTS * share));
    const runners = [];
    let left = 0;
    let zombies = 0;
    for (let start = 0; start < starts; start++) {
      const node = spawn(process.execPath, [BIN, "serve", "--port", "0"], {
        env: { ...process.env, XDG_CACHE_HOME: folder, HOME: folder },
        stdio: "ignore",
      });
      const ended = once(node, "exit");
      const [runner] = await poll(
        () => childrenOf(node.pid),
        ([child]) => child !== undefined,
      );
      runners.push(runner);
      // Node's own start, before which nothing of ours runs, takes some hundredths of a second.
      await sleep(100 + 700 * Math.random());
      for (const [who, signal] of ENDS[start % ENDS.length]) {
        if (who === "node") node.kill(signal);
        else signalTo(runner, signal);
      }
      await ended;
      const state = await poll(
        () => stateOf(runner),
        (now) => now === null,
        5000,
      );
      if (state === "Z") zombies++;
      else if (state !== null) {
        left++;
        signalTo(runner, "SIGKILL");
      }
    }
    return {
      starts,
      runners: runners.length,
      processes_left: left,
      zombies_left: zombies,
      shared_memory_left: Math.max(0, shared() - sharedBefore),
    };
  });

function signalTo(pid, signal) {
  try {
    process.kill(pid, signal);
  } catch {
    // it has ended
  }
}

/** The letter that /proc has for a process's state; null when there is none. */
function stateOf(pid) {
  try {
    return /\) (\S)/.exec(readFileSync(`/proc/${pid}/stat`, "utf8"))?.[1] ?? null;
  } catch {
    return null;
  }
}
