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
  stopped_at_once: { least: 1 },
  processes_left: { most: 0 },
  zombies_left: { most: 0 },
  shared_memory_left: { most: 0 },
};

const STARTS = 200;
/**
 * Every so many starts the runner is stopped as soon as it is there: before any of our code has run in
 * it, so that it cannot end with its parent until it goes on.
 */
const EARLY_EVERY = 4;
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
    /** Runners that have ended; whoever inherits them reaps them when it likes. */
    const ended = [];
    let early = 0;
    let earlyLeft = 0;
    for (let start = 0; start < starts; start++) {
      const node = spawn(process.execPath, [BIN, "serve", "--port", "0"], {
        env: { ...process.env, XDG_CACHE_HOME: folder, HOME: folder },
        stdio: "ignore",
      });
      const exited = once(node, "exit");
      const [runner] = await poll(
        () => childrenOf(node.pid),
        ([child]) => child !== undefined,
      );
      runners.push(runner);
      const isEarly = start % EARLY_EVERY === EARLY_EVERY - 1;
      if (isEarly) {
        early++;
        signalTo(runner, "SIGSTOP");
      } else {
        await poll(() => hasAddon(runner), Boolean);
        await sleep(100 + 600 * Math.random());
      }
      for (const [who, signal] of ENDS[start % ENDS.length]) {
        if (who === "node") node.kill(signal);
        else signalTo(runner, signal);
      }
      await exited;
      let state = await endOf(runner, isEarly ? 500 : 5000);
      if (isEarly && state === "T") {
        earlyLeft++;
        signalTo(runner, "SIGCONT");
        state = await endOf(runner, 5000);
      }
      if (isOver(state)) ended.push(runner);
      else {
        left++;
        signalTo(runner, "SIGKILL");
      }
    }
    const unreaped = await poll(
      () => ended.filter((pid) => stateOf(pid) === "Z").length,
      (count) => count === 0,
    );
    return {
      starts,
      runners: runners.length,
      processes_left: left,
      stopped_at_once: early,
      stopped_at_once_until_they_go_on: earlyLeft,
      zombies_left: unreaped,
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

/** Whether our native code is there, the first that a runner loads: it asks to end with its parent. */
function hasAddon(pid) {
  try {
    return readFileSync(`/proc/${pid}/maps`, "utf8").includes("proofmill.node");
  } catch {
    return true; // it has ended: there is nothing to wait for
  }
}

/** Waits for a process's end, for so long; gives its state then. */
const endOf = (pid, milliseconds) => poll(() => stateOf(pid), isOver, milliseconds);

/** Whether a process in this state has ended, reaped or not. */
const isOver = (state) => state === null || state === "Z";

/** The letter that /proc has for a process's state; null when there is none. */
function stateOf(pid) {
  try {
    return /\) (\S)/.exec(readFileSync(`/proc/${pid}/stat`, "utf8"))?.[1] ?? null;
  } catch {
    return null;
  }
}
