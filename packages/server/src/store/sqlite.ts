/** Rounds and what is due for delivery, in SQLite on a thread of its own. */
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import {
  type DueVerdict,
  type KeptJob,
  objectJson,
  type RoundProgress,
  type RoundRecord,
  type RoundStore,
  type StoredRound,
} from "@proofmill/core";
import type { Acknowledged, Delivery, NextDelivery, Outbox } from "../callbacks/outbox.ts";
import type { NodeDatabase } from "./database.ts";
import type { WrittenVerdict } from "./due.ts";
import { DataFolderError } from "./faults.ts";
import { makePrivate } from "./private.ts";
import type { Answer, Call, Method, Opened, Started } from "./worker.ts";

/** The built module, also for tests of the source: Node starts threads in JavaScript alone. */
const WORKER = new URL("../../dist/store/worker.js", import.meta.url);

/** The database's name in the data folder. */
export const DATABASE = "proofmill.db";

interface SqliteStoreOptions {
  /** Absolute path; made when it is not there. */
  folder: string;
  /** A module in JavaScript whose `SCHEMES` are what rounds may prove; core's by default. */
  schemes?: URL;
}

interface Pending {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

/**
 * Every promise resolves after the commit, which is on the disk (WAL, `synchronous = FULL`). The
 * folder is locked until `close`, or until the process ends, however it ends. It is this user's alone:
 * folder 0700, files 0600.
 *
 * @example
 * const store = await SqliteStore.open({ folder: "/var/lib/proofmill" });
 */
export class SqliteStore implements RoundStore, Outbox {
  /** Whether nobody but this process' user can read what is stored. */
  readonly isPrivate: boolean;
  /** What was found lost when it was opened, in a line each. */
  readonly notices: readonly string[];
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  /** What has been given to it and may not be JSON yet. */
  readonly #writing = new Set<Promise<unknown>>();
  readonly #listeners = new Set<(callbackUrl: string) => void>();
  #calls = 0;
  #lost: Error | null = null;
  #closing: Promise<void> | null = null;

  /** @throws DataFolderError with a message that names the folder and what is wrong with it */
  static async open(options: SqliteStoreOptions): Promise<SqliteStore> {
    const { folder, schemes } = options;
    const refuse = (reason: string, remedy?: string) => {
      const error = new DataFolderError(reason, remedy);
      error.message = `cannot use the data folder ${folder}: ${reason}; ${error.remedy}`;
      return error;
    };
    let isPrivate: boolean;
    try {
      isPrivate = makePrivate(folder, DATABASE);
    } catch (error) {
      throw refuse((error as Error).message);
    }
    const worker = new Worker(WORKER, {
      workerData: { path: join(folder, DATABASE), schemes: schemes?.href } satisfies Started,
      execArgv: [],
      trackUnmanagedFds: false, // what a refused one leaves open must stay so: see `assertReads`
    });
    const opened = await new Promise<Opened>((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
    });
    if (opened.open) return new SqliteStore(worker, { isPrivate, notices: opened.notices });
    await worker.terminate();
    throw refuse(opened.message, opened.remedy);
  }

  private constructor(worker: Worker, found: { isPrivate: boolean; notices: readonly string[] }) {
    this.#worker = worker;
    this.isPrivate = found.isPrivate;
    this.notices = found.notices;
    worker.on("message", (answer: Answer) => {
      const pending = this.#pending.get(answer.id);
      this.#pending.delete(answer.id);
      if ("error" in answer) pending?.reject(answer.error);
      else pending?.resolve(answer.value);
    });
    const lose = (error: Error) => {
      this.#lost ??= error;
      for (const { reject } of this.#pending.values()) reject(error);
      this.#pending.clear();
    };
    worker.on("error", lose);
    worker.on("exit", () => lose(new Error("the store is closed")));
  }

  async create(round: RoundRecord): Promise<void> {
    await this.#call("create", round);
  }

  async append(roundId: string, progress: RoundProgress): Promise<void> {
    const url = await this.#call("append", roundId, progress);
    if (url !== null) this.#tell(url);
  }

  async enqueue(verdict: DueVerdict): Promise<void> {
    await this.#write(verdict, (written) => this.#call("enqueue", written));
    this.#tell(verdict.callback_url);
  }

  async keepJob(job: KeptJob): Promise<void> {
    await this.#call("keepJob", job);
  }

  async endJob(id: string, due: DueVerdict | null): Promise<void> {
    if (!due) return this.#call("endJob", id, null);
    await this.#write(due, (written) => this.#call("endJob", id, written));
    this.#tell(due.callback_url);
  }

  jobs(): Promise<KeptJob[]> {
    return this.#call("jobs");
  }

  greatestId(): Promise<string | null> {
    return this.#call("greatestId");
  }

  async probe(): Promise<void> {
    await this.#call("probe");
  }

  recent(): Promise<StoredRound[]> {
    return this.#call("recent");
  }

  dueUrls(): Promise<string[]> {
    return this.#call("dueUrls");
  }

  pending(): Promise<{ nonces: number; verdicts: number }> {
    return this.#call("pending");
  }

  oldestAge(): Promise<number> {
    return this.#call("oldestAge");
  }

  next(wanted: NextDelivery): Promise<Delivery | null> {
    return this.#call("next", wanted);
  }

  acknowledge(delivery: Acknowledged): Promise<void> {
    return this.#call("acknowledge", delivery);
  }

  giveUp(maxAge: number): Promise<{ nonces: number; verdicts: number }> {
    return this.#call("giveUp", maxAge);
  }

  giveUpOn(delivery: Acknowledged): Promise<{ nonces: number; verdicts: number }> {
    return this.#call("giveUpOn", delivery);
  }

  onDue(listener: (callbackUrl: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Stores what has been given to it, and lets go of the folder. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= (async () => {
      await Promise.allSettled(this.#writing);
      const ended = new Promise((resolve) => this.#worker.once("exit", resolve));
      await this.#send<void>("close", []).catch(() => this.#worker.terminate());
      await ended;
    })();
    return this.#closing;
  }

  /** A hundred thousand artifacts take too long for one turn of the event loop, cloned as well as written. */
  async #write(
    { batch, ...due }: DueVerdict,
    call: (written: WrittenVerdict) => Promise<void>,
  ): Promise<void> {
    const writing = objectJson(batch).then((body) => call({ ...due, body }));
    this.#writing.add(writing);
    await writing.finally(() => this.#writing.delete(writing));
  }

  #tell(callbackUrl: string): void {
    for (const listener of this.#listeners) listener(callbackUrl);
  }

  #call<M extends Method>(
    method: M,
    ...args: Parameters<NodeDatabase[M]>
  ): Promise<ReturnType<NodeDatabase[M]>> {
    return this.#send(method, args);
  }

  #send<T>(method: Call["method"], args: readonly unknown[]): Promise<T> {
    if (this.#lost) return Promise.reject(this.#lost);
    const id = this.#calls++;
    return new Promise<T>((resolve, reject) => {
      this.#pending.set(id, { resolve: resolve as (value: unknown) => void, reject });
      const call: Call = { id, method, args };
      this.#worker.postMessage(call);
    });
  }
}
