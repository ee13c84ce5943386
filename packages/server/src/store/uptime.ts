/** The time by which everything stored is dated: how long nodes of this folder were up. */
import type { Connection } from "./connection.ts";
import { DataFolderError, RESTORE } from "./faults.ts";

/** A thousand years; no node was up for longer. */
const MAX_UPTIME_MS = 1000 * 366 * 24 * 3_600_000;

export class Uptime {
  readonly #connection: Connection;
  readonly #now: () => number;
  /** What is added to `now` to get the milliseconds that nodes of this folder were up. */
  readonly #before: number;

  /**
   * @param now milliseconds of a clock that runs evenly and is never set
   * @throws DataFolderError when what is stored cannot be
   */
  constructor(connection: Connection, now: () => number) {
    this.#connection = connection;
    this.#now = now;
    this.#before = this.#stored() - now();
  }

  /** Milliseconds that nodes of this folder were up; nothing is written, so that a full disk can be asked. */
  get present(): number {
    return Math.round(this.#before + this.#now());
  }

  /**
   * The same, and stored: with what is dated by it, so that no time lies ahead when the folder is opened
   * again.
   */
  milliseconds(): number {
    const uptime = this.present;
    this.#connection.run("UPDATE uptime SET milliseconds = ?", uptime);
    return uptime;
  }

  #stored(): number {
    const connection = this.#connection;
    const uptime = connection.get<{ milliseconds: number }>("SELECT milliseconds FROM uptime");
    if (uptime && uptime.milliseconds >= 0 && uptime.milliseconds < MAX_UPTIME_MS) {
      return uptime.milliseconds;
    }
    const detail = uptime
      ? `it was up for ${uptime.milliseconds} ms`
      : "it does not say for how long it was up";
    throw new DataFolderError(`${connection.file} is damaged (${detail})`, RESTORE);
  }
}
