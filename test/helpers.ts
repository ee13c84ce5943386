/** What tests share, above all a real server in a process of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";

export const BIN = fileURLToPath(new URL("../packages/server/bin/proofmill.mjs", import.meta.url));

export interface StartOptions {
  /** Of `proofmill serve`; a free port is chosen unless they name one. */
  args?: readonly string[];
  env?: Record<string, string>;
  /** Until when to wait; `ready` by default. */
  until?: "listening" | "ready";
  /** Descriptors that it may have open. */
  openFiles?: number;
}

interface LogLine {
  msg: string;
  [field: string]: unknown;
}

export interface TestNode {
  /** E.g. `http://127.0.0.1:40123`. */
  readonly url: string;
  readonly process: ChildProcess;
  /** Resolves with the exit code, or the signal, when the process has ended. */
  readonly exited: Promise<number | NodeJS.Signals>;
  /** Resolves with the first line with this message, also if it has come already. */
  log(message: string): Promise<LogLine>;
  /** The lines so far with this message, oldest first. */
  logged(message: string): LogLine[];
  /** All that it has printed. */
  output(): string;
  get(path: string): Promise<Response>;
  /** POST with a JSON body, or with none. */
  post(path: string, body?: unknown): Promise<Response>;
  /** SIGTERM, and its end. */
  stop(): Promise<number | NodeJS.Signals>;
}

/** Holds all folders of this process, and is removed when it ends. */
let temporary: string | null = null;

/** A folder that is removed when the test process ends. */
export function temporaryFolder(): string {
  if (temporary === null) {
    const made = mkdtempSync(join(tmpdir(), "proofmill-"));
    process.once("exit", () => rmSync(made, { recursive: true, force: true }));
    temporary = made;
  }
  return mkdtempSync(join(temporary, "folder-"));
}

/** Home of the servers of one test file: the demo model is made once for all of them. */
const home = temporaryFolder();

export function environment(added: Record<string, string> = {}): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("PROOFMILL_"));
  return {
    ...Object.fromEntries(inherited),
    HOME: home,
    XDG_CACHE_HOME: join(home, "cache"),
    XDG_DATA_HOME: join(home, "data"),
    ...added,
  };
}

/**
 * Starts the real server.
 *
 * @throws Error with all its output when it ends before it is there
 */
export async function startServer(options: StartOptions = {}): Promise<TestNode> {
  const { args = [], until = "ready" } = options;
  const port = args.includes("--port") ? [] : ["--port", "0"];
  // A folder serves one node.
  const data = args.includes("--data-dir") ? [] : ["--data-dir", temporaryFolder()];
  const command = [process.execPath, BIN, "serve", ...args, ...port, ...data];
  const limited = options.openFiles
    ? ["sh", "-c", `ulimit -n ${options.openFiles}; exec "$@"`, "sh", ...command]
    : command;
  const child = spawn(limited[0] as string, limited.slice(1), {
    env: environment(options.env),
    stdio: ["ignore", "pipe", "pipe"],
  });
  const output: string[] = [];
  const lines: LogLine[] = [];
  const waiting = new Set<() => void>();
  createInterface({ input: child.stderr }).on("line", (line) => output.push(line));
  createInterface({ input: child.stdout }).on("line", (line) => {
    output.push(line);
    if (line.startsWith("{")) lines.push(JSON.parse(line) as LogLine);
    for (const check of waiting) check();
  });
  const exited = once(child, "exit").then(
    ([code, signal]) => (code ?? signal) as number | NodeJS.Signals,
  );

  function log(message: string): Promise<LogLine> {
    return new Promise((resolve, reject) => {
      const check = () => {
        const line = lines.find(({ msg }) => msg.startsWith(message));
        if (!line) return;
        waiting.delete(check);
        resolve(line);
      };
      waiting.add(check);
      check();
      void exited.then((code) =>
        reject(new Error(`no "${message}" before the end (${code}):\n${output.join("\n")}`)),
      );
    });
  }

  const url = (await log("listening on ")).msg.slice("listening on ".length);
  const node: TestNode = {
    url,
    process: child,
    exited,
    log,
    logged: (message) => lines.filter(({ msg }) => msg.startsWith(message)),
    output: () => output.join("\n"),
    get: (path) => fetch(url + path),
    post: (path, body) =>
      fetch(url + path, {
        method: "POST",
        ...(body === undefined
          ? {}
          : { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
      }),
    stop: () => {
      child.kill("SIGTERM");
      return exited;
    },
  };
  if (until === "ready") {
    await log("model loaded");
    const health = await node.get("/health");
    if (health.status !== 200) throw new Error(`the model is loaded, but ${await health.text()}`);
  }
  return node;
}

/** Runs `proofmill` with these arguments to its end. */
export async function runCli(
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [BIN, ...args], { env: environment(env) });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text) => {
    stderr += text;
  });
  const [code] = (await once(child, "close")) as [number | null];
  return { code, stdout, stderr };
}

/** Has a server listen on a port of its own until the test ends; gives its address. */
export async function listen(server: Server): Promise<string> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Asks again until the answer satisfies `condition`; gives that answer. */
export async function poll<T>(
  ask: () => T | Promise<T>,
  condition: (answer: T) => boolean,
): Promise<T> {
  for (;;) {
    const answer = await ask();
    if (condition(answer)) return answer;
    await pause(20);
  }
}

/** Whether a process runs; one that has ended and only waits to be reaped does not. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  if (process.platform !== "linux") return true;
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

/** Where the servers of this test file have put the demo model. */
export function demoFolder(): string {
  return join(home, "cache", "proofmill", "demo-model-2");
}
