/** The thread that owns the database: commits what comes together in one transaction. */
import { parentPort, workerData } from "node:worker_threads";
import { type RoundProgress, SCHEMES, type Schemes } from "@proofmill/core";
import { NodeDatabase } from "./database.ts";
import { DataFolderError, explain } from "./faults.ts";

/** Progress waits so long after the last commit: a fast search must not wear the disk out. */
const GROUP_MS = 25;

/** Calls that a method name and its arguments make; all of `NodeDatabase` that others may use. */
export type Method = Exclude<
  keyof NodeDatabase,
  "transaction" | "close" | "notices" | "assertInPlace" | "copyTo"
>;

/** Calls that promise to keep something. */
const PROMISES: readonly string[] = [
  ...["create", "append", "enqueue", "keepJob", "endJob", "probe"],
];

export interface Call {
  readonly id: number;
  readonly method: Method | "close";
  readonly args: readonly unknown[];
}

export type Answer =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: Error };

/** What the thread starts with. */
export interface Started {
  readonly path: string;
  /** Of a module that has other `SCHEMES` than core. */
  readonly schemes?: string | undefined;
}

/** The first message: whether it is open. */
export type Opened =
  | { readonly open: true; readonly notices: readonly string[] }
  | { readonly open: false; readonly message: string; readonly remedy?: string | undefined };

const port = parentPort;
if (!port) throw new Error("this module is a worker's");

let database: NodeDatabase;
let calls: Call[] = [];
let timer: NodeJS.Timeout | undefined;
let immediate: NodeJS.Immediate | undefined;
let lastCommit = 0;

try {
  const { path, schemes } = workerData as Started;
  const module = schemes === undefined ? { SCHEMES } : await import(schemes);
  database = new NodeDatabase(path, { schemes: module.SCHEMES as Schemes });
  port.on("message", receive);
  say({ open: true, notices: database.notices });
} catch (error) {
  const message = error instanceof Error ? error.message : String(error);
  const remedy = error instanceof DataFolderError ? error.remedy : undefined;
  say({ open: false, message, remedy });
}

function say(message: Answer | Opened): void {
  port?.postMessage(message);
}

function receive(call: Call): void {
  calls.push(call);
  if (isSearch(call)) {
    timer ??= setTimeout(commit, Math.max(0, lastCommit + GROUP_MS - performance.now()));
  } else {
    immediate ??= setImmediate(commit); // everything that has arrived by then goes along
  }
}

/** Whether it brings new counts; what only says how a round stands is part of a command. */
function isSearch({ method, args }: Call): boolean {
  if (method !== "append") return false;
  const { from, counters } = args[1] as RoundProgress;
  return counters.position > from;
}

function commit(): void {
  clearTimeout(timer);
  clearImmediate(immediate);
  timer = undefined;
  immediate = undefined;
  const group = calls;
  calls = [];
  let answers: Answer[];
  try {
    answers = database.transaction(() => group.map(answer));
  } catch {
    // The disk refused: nothing of the group has happened, and each shows by itself what can.
    answers = group.map(alone);
  }
  lastCommit = performance.now();
  for (const each of answers) say(each);
  if (group.some(({ method }) => method === "close")) {
    database.close();
    port?.close();
  }
}

function alone(call: Call): Answer {
  try {
    return database.transaction(() => answer(call));
  } catch (error) {
    return { id: call.id, error: asError(error) };
  }
}

/** One call's own refusal is no other's: the database checks before it writes. */
function answer({ id, method, args }: Call): Answer {
  if (method === "close") return { id, value: undefined };
  try {
    if (PROMISES.includes(method)) database.assertInPlace();
    const call = database[method] as (...args: readonly unknown[]) => unknown;
    return { id, value: call.apply(database, [...args]) };
  } catch (error) {
    if (String((error as { code?: unknown }).code).startsWith("SQLITE_")) throw error;
    return { id, error: asError(error) };
  }
}

function asError(error: unknown): Error {
  return new Error(error instanceof Error ? explain(error) : String(error));
}
