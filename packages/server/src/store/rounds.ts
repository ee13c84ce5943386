/** Rounds and their finds. What configurations and records mean their schemes know. */
import {
  type FindRecord,
  KEPT_ROUNDS,
  type RoundConfig,
  type RoundProgress,
  type RoundRecord,
  type Schemes,
  type SearchedWith,
  type StoredRound,
} from "@proofmill/core";
import type { Connection } from "./connection.ts";
import type { Uptime } from "./uptime.ts";

export interface RoundRow {
  number: number;
  round_id: string;
  scheme: string;
  /** JSON, as far as nobody has changed it. */
  config: string;
  callback_url: string | null;
  position: number;
  total_nonfinite: number;
  elapsed_seconds: number;
  generating_seconds: number;
  found: number;
  delivered: number;
  /** JSON, as far as nobody has changed it. */
  searched_with: string | null;
}

/** What its finds say of a round. */
interface FindsOfRound {
  stored: number;
  last: number | null;
  least: number | null;
  greatest: number | null;
  least_record: unknown;
  greatest_record: unknown;
}

export interface FindRow {
  nonce: number;
  record: FindRecord;
  arithmetic: number;
}

export class Rounds {
  readonly #connection: Connection;
  readonly #uptime: Uptime;
  readonly #schemes: Schemes;
  /** Numbers of the rounds that are left out. */
  readonly #unreadable = new Set<number>();

  constructor(options: { connection: Connection; uptime: Uptime; schemes: Schemes }) {
    this.#connection = options.connection;
    this.#uptime = options.uptime;
    this.#schemes = options.schemes;
  }

  /**
   * Rounds of which something cannot be, for a disk or a person has changed it: one of them must not
   * keep the node from starting, nor be searched on or sent.
   *
   * @returns what is to be said of each
   */
  leaveOutUnreadable(): string[] {
    const rounds = this.#connection.all<RoundRow & FindsOfRound>(
      `SELECT rounds.*, count(place) AS stored, max(place) AS last, min(nonce) AS least,
       max(nonce) AS greatest, min(record) AS least_record, max(record) AS greatest_record
       FROM rounds LEFT JOIN finds ON round = number GROUP BY number`,
    );
    const unreadable = rounds.filter((round) => !isConsistent(round) || !this.#canRead(round));
    return unreadable.map(({ number, round_id }) => {
      this.#unreadable.add(number);
      return `round ${round_id} cannot be read and is left out: its finds are not sent`;
    });
  }

  /** Whether the scheme that the round names can go on with it. */
  #canRead(round: RoundRow & FindsOfRound): boolean {
    // Of all values numbers come first and texts next: the least and the greatest tell their kinds.
    const records = round.found > 0 ? [round.least_record, round.greatest_record] : [];
    try {
      const config: unknown = JSON.parse(round.config);
      return this.#schemes.get(round.scheme)?.canRead({ config, records }) ?? false;
    } catch {
      return false; // no JSON
    }
  }

  /** Whether something of it cannot be: nothing of it is sent, nor counted. */
  isLeftOut({ number }: Pick<RoundRow, "number">): boolean {
    return this.#unreadable.has(number);
  }

  /** Null where it is left out. */
  recordOf({ number, round_id, scheme, config }: RoundRow): RoundRecord | null {
    if (this.isLeftOut({ number })) return null;
    return { round_id, scheme, config: JSON.parse(config) as RoundConfig };
  }

  create({ round_id, scheme, config }: RoundRecord): void {
    this.#connection.run(
      "INSERT INTO rounds (round_id, scheme, config, callback_url) VALUES (?, ?, ?, ?)",
      round_id,
      scheme,
      JSON.stringify(config),
      config.callback_url,
    );
    this.forgetOld();
  }

  /**
   * As `RoundStore.append`: checks first, so that a refusal leaves nothing behind.
   *
   * @returns the URL for which it made something due, or null
   */
  append(roundId: string, progress: RoundProgress): string | null {
    const connection = this.#connection;
    const round = connection.get<RoundRow>("SELECT * FROM rounds WHERE round_id = ?", roundId);
    if (!round) throw new Error(`round ${roundId} is not kept`);
    if (progress.from > round.position) {
      throw new Error(`progress from ${progress.from}, but only ${round.position} is stored`);
    }
    const { counters } = progress;
    const isNew = progress.from === round.position && counters.position > round.position;
    const nonces = isNew ? progress.nonces : [];
    if (nonces.length > 0) {
      const arithmetic = this.#arithmetic(progress.arithmetic);
      const found_at = this.#uptime.milliseconds();
      const insert = connection.statement("INSERT INTO finds VALUES (?, ?, ?, ?, ?, ?)");
      for (const [i, nonce] of nonces.entries()) {
        const record = progress.records[i];
        insert.run(round.number, round.found + i, nonce, record, arithmetic, found_at);
      }
    }
    connection.run(
      `UPDATE rounds SET position = ?, total_nonfinite = ?, elapsed_seconds = ?,
       generating_seconds = ?, searched_with = ?, found = ? WHERE number = ?`,
      counters.position,
      counters.total_nonfinite,
      counters.elapsed_seconds,
      counters.generating_seconds,
      counters.searched_with && JSON.stringify(counters.searched_with),
      round.found + nonces.length,
      round.number,
    );
    return nonces.length > 0 ? round.callback_url : null;
  }

  /** Of all rounds that are kept, also of those that only owe something; null when there is none. */
  greatestId(): string | null {
    const row = this.#connection.get<{ id: string | null }>(
      "SELECT max(round_id) AS id FROM rounds",
    );
    return row?.id ?? null;
  }

  /** The last two rounds, oldest first. */
  recent(): StoredRound[] {
    const rounds = this.#connection.all<RoundRow>(
      "SELECT * FROM rounds ORDER BY number DESC LIMIT ?",
      KEPT_ROUNDS,
    );
    return rounds.reverse().flatMap((round) => {
      const record = this.recordOf(round);
      if (!record) return [];
      const finds = this.#connection.all<FindRow>(
        "SELECT nonce, record FROM finds WHERE round = ? ORDER BY place",
        round.number,
      );
      const { position, total_nonfinite, elapsed_seconds, generating_seconds } = round;
      return {
        ...record,
        counters: {
          ...{ position, total_nonfinite, elapsed_seconds, generating_seconds },
          searched_with: readSearchedWith(round),
        },
        nonces: finds.map(({ nonce }) => nonce),
        records: finds.map(({ record }) => record),
      };
    });
  }

  /** Drops rounds that nobody reads any more and that owe nothing to anybody. */
  forgetOld(): void {
    const old = this.#connection.all<{ number: number }>(
      `SELECT number FROM rounds WHERE (callback_url IS NULL OR delivered = found)
       AND number NOT IN (SELECT number FROM rounds ORDER BY number DESC LIMIT ?)`,
      KEPT_ROUNDS,
    );
    for (const { number } of old) {
      this.#connection.run("DELETE FROM finds WHERE round = ?", number);
      this.#connection.run("DELETE FROM rounds WHERE number = ?", number);
    }
  }

  #arithmetic(tag: string): number {
    this.#connection.run("INSERT OR IGNORE INTO arithmetics (tag) VALUES (?)", tag);
    const row = this.#connection.get<{ id: number }>(
      "SELECT id FROM arithmetics WHERE tag = ?",
      tag,
    );
    return row?.id ?? 0;
  }
}

/** Null also where it was changed: then the round does not go on by itself, and is whole all the same. */
function readSearchedWith({ searched_with }: RoundRow): SearchedWith | null {
  try {
    return JSON.parse(searched_with ?? "null") as SearchedWith | null;
  } catch {
    return null;
  }
}

/** Whether the finds are those that the round counts, and nothing is what it can never be. */
function isConsistent(round: RoundRow & FindsOfRound): boolean {
  const { position, total_nonfinite, elapsed_seconds, generating_seconds, found, delivered } =
    round;
  const counts = [position, total_nonfinite, found, delivered];
  const seconds = [elapsed_seconds, generating_seconds];
  return (
    counts.every((count) => Number.isSafeInteger(count) && count >= 0) &&
    seconds.every((time) => Number.isFinite(time) && time >= 0) &&
    delivered <= found &&
    found <= position &&
    found === round.stored &&
    found === (round.last ?? -1) + 1 &&
    (round.least ?? 0) >= 0 &&
    Number.isSafeInteger(round.greatest ?? 0)
  );
}
