// A real node, started as `proofmill serve`, and what can be seen of it from inside and outside.
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { createPocClient } from "@proofmill/client";

const BIN = fileURLToPath(new URL("../../packages/server/bin/proofmill.mjs", import.meta.url));
const INSIDE = new URL("./inside.mjs", import.meta.url).href;

/** Nodes that have not ended, of all scenarios that are being played. */
const running = new Set();

/** A folder that is removed when `work` has ended; the nodes that still run are killed then. */
export async function withFolder(work) {
  const folder = mkdtempSync(join(tmpdir(), "proofmill-soak-"));
  try {
    return await work(folder);
  } finally {
    const here = [...running].filter((node) => node.folder === folder);
    await Promise.all(here.map((node) => node.end("SIGKILL")));
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Starts a node on one thread and any port, and waits until its model is loaded, or until it listens.
 *
 * @param {{ folder: string, args?: readonly string[], env?: Record<string, string>,
 *   until?: "listening" | "loaded" }} options `folder`
 *   holds its data; `args` are further ones of `proofmill serve`
 * @throws Error with all that it printed when it ends before
 */
export async function startNode({ folder, args = [], env = {}, until = "loaded" }) {
  const port = args.includes("--port") ? [] : ["--port", "0"];
  const threads = args.includes("--threads") ? [] : ["--threads", "1"];
  const flags = ["--enable-poc", "--data-dir", folder, ...port, ...threads, ...args];
  const child = fork(BIN, ["serve", ...flags], {
    execArgv: ["--expose-gc", "--import", INSIDE],
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
  const lines = [];
  const waiting = new Set();
  for (const output of [child.stdout, child.stderr]) {
    createInterface({ input: output }).on("line", (line) => {
      lines.push(line.startsWith("{") ? JSON.parse(line) : { msg: line });
      for (const look of waiting) look();
    });
  }
  /** @type {Promise<number | NodeJS.Signals>} its exit code, or the signal that ended it */
  const exited = once(child, "exit").then(([code, signal]) => code ?? signal);
  /** Sends a signal; resolves with its end. */
  const end = (signal) => {
    child.kill(signal);
    return exited;
  };
  const node = { folder, end };
  running.add(node);
  exited.then(() => running.delete(node));

  /** Resolves with the first line of the log whose message begins so, also when it has come already. */
  const logged = (message) =>
    new Promise((resolve, reject) => {
      const look = () => {
        const line = lines.find(({ msg }) => msg.startsWith(message));
        if (!line) return;
        waiting.delete(look);
        resolve(line);
      };
      waiting.add(look);
      look();
      exited.then((code) =>
        reject(
          new Error(
            `no "${message}" before the end (${code}):\n${lines.map(({ msg }) => msg).join("\n")}`,
          ),
        ),
      );
    });

  const url = (await logged("listening on ")).msg.slice("listening on ".length);
  if (until === "loaded") await logged("model loaded");
  return Object.assign(node, {
    url,
    pid: child.pid,
    exited,
    logged,
    /** Lines of the log so far, oldest first. */
    lines,
    client: createPocClient({ url, retries: 0 }),
    /**
     * What it holds: heap after a collection, handles and sockets of its event loop, descriptors, memory;
     * and the longest standstill of its event loop since it was measured last.
     */
    async measure() {
      const answer = once(child, "message");
      child.send("measure");
      const [inside] = await answer;
      return {
        ...inside,
        descriptors: readdirSync(`/proc/${child.pid}/fd`).length,
        resident_bytes: residentBytes(child.pid),
      };
    },
  });
}

/** The processes that a process has started and that have not been reaped. Linux only. */
export function childrenOf(pid) {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
  return text === "" ? [] : text.split(" ").map(Number);
}

/** Bytes of memory that a process holds, as Linux counts them. */
export function residentBytes(pid) {
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Number(kilobytes) * 1024;
}

/** Asks again until the answer satisfies `condition`, or the time is over; gives the last answer. */
export async function poll(ask, condition, milliseconds = 30_000) {
  const end = performance.now() + milliseconds;
  for (;;) {
    const answer = await ask();
    if (condition(answer) || performance.now() > end) return answer;
    await sleep(20);
  }
}

/** By how much values grow from the first to the last, as the straight line does that fits them best. */
export function growthOf(samples) {
  const mean = (numbers) => numbers.reduce((sum, each) => sum + each, 0) / numbers.length;
  const meanAt = mean(samples.map(({ at }) => at));
  const meanValue = mean(samples.map(({ value }) => value));
  const products = samples.map(({ at, value }) => (at - meanAt) * (value - meanValue));
  const squares = samples.map(({ at }) => (at - meanAt) ** 2);
  return (mean(products) / mean(squares)) * (samples.at(-1).at - samples[0].at);
}
