/**
 * What is due for delivery. A round's finds are due in their order, so that one number, `delivered`,
 * tells which; verdicts, and what jobs have computed, have rows of their own and are due as they came.
 */
import { type DueVerdict, type Schemes, schemeOf } from "@proofmill/core";
import type { Acknowledged, Delivery, NextDelivery } from "../callbacks/outbox.ts";
import type { Connection } from "./connection.ts";
import type { FindRow, RoundRow, Rounds } from "./rounds.ts";
import type { Uptime } from "./uptime.ts";

/** A verdict, or what a job has computed, as it is stored. */
export interface WrittenVerdict extends Omit<DueVerdict, "batch"> {
  /** JSON. */
  readonly body: string;
}

interface VerdictRow {
  id: number;
  body: string;
  scheme: string;
  kind: string;
}

export class Due {
  readonly #connection: Connection;
  readonly #uptime: Uptime;
  readonly #schemes: Schemes;
  readonly #rounds: Rounds;

  constructor(options: {
    connection: Connection;
    uptime: Uptime;
    schemes: Schemes;
    rounds: Rounds;
  }) {
    this.#connection = options.connection;
    this.#uptime = options.uptime;
    this.#schemes = options.schemes;
    this.#rounds = options.rounds;
  }

  /** A verdict is due from now on. */
  enqueue({ callback_url, scheme, kind, body }: WrittenVerdict): void {
    this.#connection.run(
      "INSERT INTO verdicts (callback_url, body, judged_at, scheme, kind) VALUES (?, ?, ?, ?, ?)",
      callback_url,
      body,
      this.#uptime.milliseconds(),
      scheme,
      kind,
    );
  }

  /** Every URL for which something is due. */
  urls(): string[] {
    const rows = this.#connection.all<{ callback_url: string }>(
      `SELECT callback_url FROM rounds WHERE delivered < found AND callback_url IS NOT NULL
       UNION SELECT callback_url FROM verdicts`,
    );
    return rows.map(({ callback_url }) => callback_url);
  }

  /** How much is due. */
  pending(): { nonces: number; verdicts: number } {
    const verdicts = this.#connection.get<{ n: number }>("SELECT count(*) AS n FROM verdicts");
    return {
      nonces: this.#dueRounds().reduce((sum, { found, delivered }) => sum + found - delivered, 0),
      verdicts: verdicts?.n ?? 0,
    };
  }

  /** The age of the oldest that is due, milliseconds of the folder's time; 0 without any. */
  oldestAge(): number {
    // Finds are in the order of their times: a round's first that is due is its oldest.
    const row = this.#connection.get<{ since: number | null }>(
      `SELECT min(since) AS since FROM (
         SELECT found_at AS since FROM rounds JOIN finds ON round = number AND place = delivered
         WHERE delivered < found AND callback_url IS NOT NULL
         UNION ALL SELECT min(judged_at) FROM verdicts)`,
    );
    return row?.since == null ? 0 : this.#uptime.present - row.since;
  }

  /** What to send next; null when nothing of this kind is due for the URL. */
  next(wanted: NextDelivery): Delivery | null {
    const read = wanted.kind === "generated" ? this.#nextFinds : this.#nextVerdict;
    return read.call(this, wanted) ?? read.call(this, { ...wanted, after: 0 });
  }

  /** The receiver has it. */
  acknowledge({ kind, key, upTo }: Acknowledged): void {
    const connection = this.#connection;
    if (kind === "validated") {
      connection.run("DELETE FROM verdicts WHERE id = ?", key);
    } else {
      connection.run("UPDATE rounds SET delivered = max(delivered, ?) WHERE number = ?", upTo, key);
      this.#rounds.forgetOld();
    }
  }

  /**
   * Drops from delivery what is older; `status` goes on showing it. An age is time that nodes of this
   * folder were up: one that is killed loses what has passed since the last call.
   *
   * @param maxAge milliseconds since the find
   * @returns how much was given up
   */
  giveUp(maxAge: number): { nonces: number; verdicts: number } {
    const connection = this.#connection;
    const before = this.#uptime.milliseconds() - maxAge;
    let nonces = 0;
    for (const { number, delivered, found } of this.#dueRounds()) {
      // Finds are in the order of their times.
      const young = connection.get<{ place: number }>(
        `SELECT place FROM finds WHERE round = ? AND place >= ? AND found_at >= ?
         ORDER BY place LIMIT 1`,
        number,
        delivered,
        before,
      );
      const upTo = young?.place ?? found;
      nonces += upTo - delivered;
      if (upTo > delivered) this.acknowledge({ kind: "generated", key: number, upTo });
    }
    const { changes } = connection.run("DELETE FROM verdicts WHERE judged_at < ?", before);
    return { nonces, verdicts: changes };
  }

  /**
   * Drops what that receiver will not have: of a delivery of finds all that its round owes by now.
   *
   * @returns how much was given up
   */
  giveUpOn({ kind, key }: Acknowledged): { nonces: number; verdicts: number } {
    if (kind === "validated") {
      const { changes } = this.#connection.run("DELETE FROM verdicts WHERE id = ?", key);
      return { nonces: 0, verdicts: changes };
    }
    const round = this.#dueRounds().find(({ number }) => number === key);
    if (!round) return { nonces: 0, verdicts: 0 };
    this.acknowledge({ kind, key, upTo: round.found });
    return { nonces: round.found - round.delivered, verdicts: 0 };
  }

  #dueRounds(): RoundRow[] {
    const rounds = this.#connection.all<RoundRow>(
      "SELECT * FROM rounds WHERE delivered < found AND callback_url IS NOT NULL",
    );
    return rounds.filter((round) => !this.#rounds.isLeftOut(round));
  }

  #nextFinds(wanted: NextDelivery): Delivery | null {
    const connection = this.#connection;
    const { callback_url, after, maxNonces } = wanted;
    const row = connection.get<RoundRow>(
      `SELECT * FROM rounds WHERE callback_url = ? AND number > ? AND delivered < found
       ORDER BY number LIMIT 1`,
      callback_url,
      after,
    );
    if (!row) return null;
    const round = this.#rounds.recordOf(row);
    if (!round) return this.#nextFinds({ ...wanted, after: row.number });
    const rows = connection.all<FindRow>(
      `SELECT nonce, record, arithmetic FROM finds WHERE round = ? AND place >= ?
       ORDER BY place LIMIT ?`,
      row.number,
      row.delivered,
      maxNonces,
    );
    // One request speaks of one arithmetic.
    const other = rows.findIndex(({ arithmetic }) => arithmetic !== rows[0]?.arithmetic);
    const finds = other < 0 ? rows : rows.slice(0, other);
    const { tag } = connection.get<{ tag: string }>(
      "SELECT tag FROM arithmetics WHERE id = ?",
      finds[0]?.arithmetic,
    ) ?? { tag: "" };
    const { maxRefusals, generated } = schemeOf(round, this.#schemes);
    const batch = generated(round, {
      nonces: finds.map(({ nonce }) => nonce),
      records: finds.map(({ record }) => record),
      arithmetic: tag,
    });
    const upTo = row.delivered + finds.length;
    const { round_id, scheme } = round;
    const { block_hash, block_height } = round.config;
    return {
      ...{ kind: "generated", path: "generated", scheme, maxRefusals },
      round: { round_id, block_hash, block_height, rest: row.found - upTo },
      key: row.number,
      upTo,
      count: finds.length,
      body: JSON.stringify(batch),
    };
  }

  #nextVerdict({ callback_url, after }: NextDelivery): Delivery | null {
    const verdict = this.#connection.get<VerdictRow>(
      `SELECT id, body, scheme, kind FROM verdicts WHERE callback_url = ? AND id > ?
       ORDER BY id LIMIT 1`,
      callback_url,
      after,
    );
    if (!verdict) return null;
    const { id, body, scheme, kind } = verdict;
    const maxRefusals = this.#schemes.get(scheme)?.maxRefusals ?? null;
    const path = kind === "generated" ? kind : "validated";
    return {
      ...{ kind: "validated", path, scheme, round: null, maxRefusals },
      ...{ key: id, upTo: 0, count: 1, body },
    };
  }
}
