/** The runners' sessions together: each goes to the runner that has least to do. */
import {
  RunnerLost,
  type SessionEnd,
  type SessionLimits,
  type SessionRunner,
  type SessionToken,
  type TokenSession,
} from "@proofmill/core";
import { ApiError } from "./api-error.ts";

/** Sessions that may wait for each one that runs … */
const WAITING_FOR_EACH = 8;
/** … and tokens of all prompts and answers that are there, for each runner. */
const MAX_TOKENS = 16 * 2 ** 20;
/** Seconds. */
const RETRY_AFTER = 2;

interface Seat {
  readonly runner: SessionRunner;
  readonly limits: SessionLimits;
  open: number;
  tokens: number;
}

type Planned = Omit<TokenSession, "id">;

export class SessionPool {
  readonly #seats = new Set<Seat>();
  #last: SessionLimits | null = null;
  #ids = 0;

  /**
   * What fits into any of the runners, whichever a session then goes to: those that are there, or the
   * last that was; null before the first.
   */
  get limits(): Pick<SessionLimits, "max_len"> | null {
    const all = [...this.#seats].map(({ limits }) => limits);
    if (all.length === 0) return this.#last;
    return { max_len: Math.min(...all.map(({ max_len }) => max_len)) };
  }

  /** @returns what takes the runner away, whose sessions end by themselves */
  attach(runner: SessionRunner): () => void {
    const limits = runner.sessionLimits;
    if (!limits) return () => {};
    this.#last = limits;
    const seat = { runner, limits, open: 0, tokens: 0 };
    this.#seats.add(seat);
    return () => this.#seats.delete(seat);
  }

  /**
   * Whether a request may have so many answers, which is asked before any of it is prepared.
   *
   * @throws ApiError 400 where so many never fit
   */
  refuseMore(answers: number): void {
    let most = 0;
    for (const seat of this.#seats) most += roomOf(seat);
    if (answers <= most || most === 0) return;
    const asked = `the request asks for ${answers} answers, expected at most ${most}`;
    throw new ApiError(400, asked, { param: "n" });
  }

  /**
   * Takes places for these sessions, all or none.
   *
   * @throws ApiError 503 without a runner, 429 where too many wait, 400 where so many never fit
   */
  reserve(sessions: readonly Planned[]): Reserved[] {
    if (this.#seats.size === 0) {
      throw new ApiError(503, "Model is loading", {
        code: "model_loading",
        retryAfter: RETRY_AFTER,
      });
    }
    this.refuseMore(sessions.length);
    const seats: { seat: Seat; tokens: number }[] = [];
    const leave = () => {
      for (const { seat, tokens } of seats) free(seat, tokens);
    };
    for (const session of sessions) {
      const tokens = session.prompt.length + session.max_tokens;
      const seat = this.#leastLoaded(tokens);
      if (!seat) {
        leave();
        throw new ApiError(429, "Too many requests are waiting for the model", {
          code: "queue_full",
          retryAfter: RETRY_AFTER,
        });
      }
      seat.open++;
      seat.tokens += tokens;
      seats.push({ seat, tokens });
    }
    return seats.map(
      (taken) => new Reserved(taken.seat.runner, this.#ids++, () => free(taken.seat, taken.tokens)),
    );
  }

  #leastLoaded(tokens: number): Seat | undefined {
    let chosen: Seat | undefined;
    for (const seat of this.#seats) {
      const isFull =
        seat.open >= roomOf(seat) || (seat.open > 0 && seat.tokens + tokens > MAX_TOKENS);
      if (!isFull && (!chosen || seat.open < chosen.open)) chosen = seat;
    }
    return chosen;
  }
}

function roomOf({ limits }: Seat): number {
  return limits.max_sessions * (1 + WAITING_FOR_EACH);
}

function free(seat: Seat, tokens: number): void {
  seat.open--;
  seat.tokens -= tokens;
}

/** A place for one session; it has to be opened or left. */
export class Reserved {
  readonly #runner: SessionRunner;
  readonly #id: number;
  #free: (() => void) | null;

  constructor(runner: SessionRunner, id: number, free: () => void) {
    this.#runner = runner;
    this.#id = id;
    this.#free = free;
  }

  /** @throws ApiError 503 where the runner is lost, 500 where the session is not possible */
  async open(session: Planned, onToken: (token: SessionToken) => void): Promise<SessionEnd> {
    try {
      return await this.#runner.openSession({ ...session, id: this.#id }, onToken);
    } catch (error) {
      if (error instanceof RunnerLost) {
        const lost = "The model's process ended while it answered; it is started again";
        throw new ApiError(503, lost, { code: "runner_lost", retryAfter: RETRY_AFTER });
      }
      throw new ApiError(500, (error as Error).message, { code: "session_failed" });
    } finally {
      this.leave();
    }
  }

  cancel(): void {
    this.#runner.cancelSession(this.#id);
  }

  /** Gives the place back. Idempotent. */
  leave(): void {
    this.#free?.();
    this.#free = null;
  }
}
