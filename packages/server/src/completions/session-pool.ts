/** The runners' sessions together: each goes to the runner that has least to do. */
import {
  RunnerLost,
  type SessionEnd,
  type SessionLimits,
  type SessionRunner,
  type SessionToken,
} from "@proofmill/core";
import { ApiError } from "./api-error.ts";
import type { PlannedSession } from "./plan.ts";

/**
 * Sessions that one caller may have waiting for each one that runs, while nobody else has any. There
 * are places for twice as many: a caller gets no more of them than he leaves free, so that whoever
 * comes beside him finds some.
 */
const WAITING_FOR_EACH = 8;
/** Tokens of all prompts and answers that are there, for each runner; of them, too, a caller leaves half. */
const MAX_TOKENS = 16 * 2 ** 20;
/** Seconds. */
const RETRY_AFTER = 2;

/** Sessions, and the tokens of their prompts and answers. */
interface Load {
  sessions: number;
  tokens: number;
}

interface Seat extends Load {
  readonly runner: SessionRunner;
  readonly limits: SessionLimits;
}

interface Caller extends Load {
  /** As runners know it. */
  readonly number: number;
}

export class SessionPool {
  readonly #seats = new Set<Seat>();
  /** Those who have sessions here. */
  readonly #callers = new Map<string, Caller>();
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
    const seat = { runner, limits, sessions: 0, tokens: 0 };
    this.#seats.add(seat);
    return () => this.#seats.delete(seat);
  }

  /**
   * Whether a request may have so many answers, which is asked before any of it is prepared.
   *
   * @throws ApiError 400 where so many never fit
   */
  refuseMore(answers: number): void {
    const most = this.#room().sessions / 2;
    if (answers <= most || most === 0) return;
    const asked = `the request asks for ${answers} answers, expected at most ${most}`;
    throw new ApiError(400, asked, { param: "n" });
  }

  /**
   * Takes places for these sessions, all or none.
   *
   * @param name the caller's
   * @throws ApiError 503 without a runner, 429 where too many wait, 400 where so many never fit
   */
  reserve(sessions: readonly PlannedSession[], name: string): Reserved[] {
    if (this.#seats.size === 0) {
      throw new ApiError(503, "Model is loading", {
        code: "model_loading",
        retryAfter: RETRY_AFTER,
      });
    }
    this.refuseMore(sessions.length);
    const loads = sessions.map(({ prompt, max_tokens }) => prompt.length + max_tokens);
    this.#refuseShare(name, loads);
    const places: Reserved[] = [];
    for (const tokens of loads) {
      const seat = this.#leastLoaded(tokens);
      if (!seat) {
        for (const place of places) place.leave();
        throw queueFull("Too many requests are waiting for the model");
      }
      places.push(this.#take(seat, name, tokens));
    }
    return places;
  }

  /** @throws ApiError 429 where the caller would have more than he leaves for others */
  #refuseShare(name: string, loads: readonly number[]): void {
    const his = this.#callers.get(name) ?? { sessions: 0, tokens: 0 };
    const room = this.#room();
    const left = { sessions: room.sessions, tokens: room.tokens };
    for (const { sessions, tokens } of this.#seats) {
      left.sessions -= sessions;
      left.tokens -= tokens;
    }
    const more = { sessions: loads.length, tokens: loads.reduce((sum, each) => sum + each, 0) };
    const isTooMuch = (what: keyof Load) => his[what] + more[what] > left[what] - more[what];
    // Of a first request's tokens the runners' own bound is enough: else none that long could be asked.
    if (isTooMuch("sessions") || (his.sessions > 0 && isTooMuch("tokens"))) {
      throw queueFull("Too many of your requests are waiting for the model");
    }
  }

  #room(): Load {
    const room = { sessions: 0, tokens: 0 };
    for (const seat of this.#seats) {
      room.sessions += roomOf(seat);
      room.tokens += MAX_TOKENS;
    }
    return room;
  }

  #leastLoaded(tokens: number): Seat | undefined {
    let chosen: Seat | undefined;
    for (const seat of this.#seats) {
      const isFull =
        seat.sessions >= roomOf(seat) || (seat.sessions > 0 && seat.tokens + tokens > MAX_TOKENS);
      if (!isFull && (!chosen || seat.sessions < chosen.sessions)) chosen = seat;
    }
    return chosen;
  }

  #take(seat: Seat, name: string, tokens: number): Reserved {
    const id = this.#ids++;
    // The first session's id is no other caller's number.
    const caller = this.#callers.get(name) ?? { number: id, sessions: 0, tokens: 0 };
    this.#callers.set(name, caller);
    for (const load of [seat, caller]) {
      load.sessions++;
      load.tokens += tokens;
    }
    const free = () => {
      for (const load of [seat, caller]) {
        load.sessions--;
        load.tokens -= tokens;
      }
      if (caller.sessions === 0) this.#callers.delete(name);
    };
    return new Reserved(seat.runner, { id, caller: caller.number }, free);
  }
}

function roomOf({ limits }: Seat): number {
  return 2 * limits.max_sessions * (1 + WAITING_FOR_EACH);
}

function queueFull(message: string): ApiError {
  return new ApiError(429, message, { code: "queue_full", retryAfter: RETRY_AFTER });
}

/** A place for one session; it has to be opened or left. */
class Reserved {
  readonly #runner: SessionRunner;
  readonly #who: { readonly id: number; readonly caller: number };
  #free: (() => void) | null;

  constructor(runner: SessionRunner, who: { id: number; caller: number }, free: () => void) {
    this.#runner = runner;
    this.#who = who;
    this.#free = free;
  }

  /** @throws ApiError 503 where the runner is lost, 500 where the session is not possible */
  async open(session: PlannedSession, onToken: (token: SessionToken) => void): Promise<SessionEnd> {
    try {
      return await this.#runner.openSession({ ...session, ...this.#who }, onToken);
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
    this.#runner.cancelSession(this.#who.id);
  }

  /** Gives the place back. Idempotent. */
  leave(): void {
    this.#free?.();
    this.#free = null;
  }
}
