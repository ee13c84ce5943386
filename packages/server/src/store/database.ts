/** The node's database: rounds, finds and what is due for delivery. Synchronous; one thread owns it. */
import {
  type KeptJob,
  type RoundProgress,
  type RoundRecord,
  SCHEMES,
  type Schemes,
  type StoredRound,
} from "@proofmill/core";
import type { Acknowledged, Delivery, NextDelivery } from "../callbacks/outbox.ts";
import { Connection } from "./connection.ts";
import { Due, type WrittenVerdict } from "./due.ts";
import { asDataFolderError } from "./faults.ts";
import { KeptJobs } from "./jobs.ts";
import { migrate } from "./migrations.ts";
import { assertReadable } from "./readable.ts";
import { Rounds } from "./rounds.ts";
import { Uptime } from "./uptime.ts";

export class NodeDatabase {
  readonly #connection: Connection;
  readonly #uptime: Uptime;
  readonly #rounds: Rounds;
  readonly #due: Due;
  readonly #jobs: KeptJobs;
  /** What the one who opened it should know: each says what has been lost. */
  readonly notices: readonly string[];

  /**
   * Opens the file, or makes it, and locks it as long as it is open.
   *
   * @param options.now milliseconds of a clock that runs evenly and is never set
   * @param options.schemes what rounds may prove
   * @param options.mustExist whether a file without tables is refused; else they are made
   * @throws DataFolderError when another process has it, a newer proofmill or another program wrote
   *   it, the disk is full, or one of its files is damaged
   */
  constructor(
    path: string,
    options: { now?: () => number; schemes?: Schemes; mustExist?: boolean } = {},
  ) {
    const { now = () => performance.now(), schemes = SCHEMES, mustExist = false } = options;
    const connection = new Connection(path);
    this.#connection = connection;
    try {
      migrate(connection, mustExist);
      assertReadable(connection);
      const uptime = new Uptime(connection, now);
      uptime.milliseconds(); // the first write makes the journal
      connection.markPlace();
      this.#uptime = uptime;
      this.#rounds = new Rounds({ connection, uptime, schemes });
      this.#due = new Due({ connection, uptime, schemes, rounds: this.#rounds });
      this.#jobs = new KeptJobs(connection);
      this.notices = [...this.#rounds.leaveOutUnreadable(), ...connection.notices];
    } catch (error) {
      connection.close();
      throw asDataFolderError(error, connection.file);
    }
  }

  create(round: RoundRecord): void {
    this.#rounds.create(round);
  }

  append(roundId: string, progress: RoundProgress): string | null {
    return this.#rounds.append(roundId, progress);
  }

  enqueue(verdict: WrittenVerdict): void {
    this.#due.enqueue(verdict);
  }

  keepJob(job: KeptJob): void {
    this.#jobs.keep(job);
  }

  endJob(id: string, due: WrittenVerdict | null): void {
    this.#jobs.forget(id);
    if (due) this.#due.enqueue(due);
  }

  jobs(): KeptJob[] {
    return this.#jobs.all();
  }

  greatestId(): string | null {
    return this.#rounds.greatestId();
  }

  recent(): StoredRound[] {
    return this.#rounds.recent();
  }

  dueUrls(): string[] {
    return this.#due.urls();
  }

  pending(): { nonces: number; verdicts: number } {
    return this.#due.pending();
  }

  oldestAge(): number {
    return this.#due.oldestAge();
  }

  next(wanted: NextDelivery): Delivery | null {
    return this.#due.next(wanted);
  }

  acknowledge(delivery: Acknowledged): void {
    this.#due.acknowledge(delivery);
  }

  giveUp(maxAge: number): { nonces: number; verdicts: number } {
    return this.#due.giveUp(maxAge);
  }

  giveUpOn(delivery: Acknowledged): { nonces: number; verdicts: number } {
    return this.#due.giveUpOn(delivery);
  }

  /**
   * Writes, to see whether writing works.
   *
   * @throws Error when it does not
   */
  probe(): void {
    this.#connection.assertRoom();
    this.#uptime.milliseconds();
  }

  /** As `Connection.assertInPlace`. */
  assertInPlace(): void {
    this.#connection.assertInPlace();
  }

  /** Everything inside happens, or nothing. */
  transaction<T>(action: () => T): T {
    return this.#connection.transaction(action);
  }

  /** Copies all into an empty file. */
  copyTo(file: string): void {
    this.#connection.run("VACUUM INTO ?", file);
  }

  /** Lets go of the file and of its lock. */
  close(): void {
    try {
      this.#uptime.milliseconds();
    } catch {
      // The disk is full, or the files are gone.
    }
    this.#connection.close();
  }
}
