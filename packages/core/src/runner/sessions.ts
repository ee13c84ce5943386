/**
 * Token sessions: what a runner does for inference beside a search. A session reads a prompt of
 * token ids and answers it token by token. Sessions run together, and what one of them is told never
 * depends on the others.
 *
 * Like the jobs of `ports.ts`, everything here survives a structured clone.
 */

/** What a runner has room for. */
export interface SessionLimits {
  /** Tokens of a session, prompt and answer together. */
  readonly max_len: number;
  /** Sessions that run at once; up to 8,192 more wait for them. */
  readonly max_sessions: number;
  /** Tokens whose keys and values are kept, over all sessions. */
  readonly kv_cache_tokens: number;
}

/** How the next token is chosen. */
export interface Sampling {
  /**
   * 0 to 1e6. Below 1e-5 nothing is drawn: the token with the greatest logit is taken, and of equal
   * ones that with the lowest id.
   */
  readonly temperature: number;
  /** (0, 1]: of what top_k and min_p leave, the fewest tokens that have this share. */
  readonly top_p: number;
  /** Only so many tokens; 0: any. */
  readonly top_k: number;
  /** [0, 1]: only tokens that are at least this share as likely as the likeliest. */
  readonly min_p: number;
  /** An integer, 0 … 2⁵³ - 1. The n-th token of an answer takes the n-th number of its seed. */
  readonly seed: number;
  /** Taken off the logit of each token that the answer holds. */
  readonly presence_penalty: number;
  /** The same for each time that it holds it. */
  readonly frequency_penalty: number;
  /** > 0: logits of tokens that prompt or answer hold are divided by it, negative ones multiplied. */
  readonly repetition_penalty: number;
  /** Pairs of a token and what is added to its logit. */
  readonly logit_bias: readonly (readonly [token: number, bias: number])[];
  /** 0 … 128 of the likeliest tokens are told with each token; null: no logprobs at all. */
  readonly top_logprobs: number | null;
}

/** Of each model's own distribution, and no token more or less likely than it says. */
export const PLAIN_SAMPLING: Sampling = {
  temperature: 1,
  top_p: 1,
  top_k: 0,
  min_p: 0,
  seed: 0,
  presence_penalty: 0,
  frequency_penalty: 0,
  repetition_penalty: 1,
  logit_bias: [],
  top_logprobs: null,
};

export interface TokenSession {
  /** Unique among the sessions that this runner has not ended yet; an integer ≥ 0. */
  readonly id: number;
  /**
   * Who asks for it, an integer ≥ 0. Callers take turns: of those that wait a session begins after its
   * own caller's that came before it, and before the second of any other caller's.
   */
  readonly caller: number;
  /** [1 …] ids below `vocab_size`. */
  readonly prompt: Uint32Array;
  /** The most tokens of the answer, ≥ 1; with the prompt's no more than `max_len`. */
  readonly max_tokens: number;
  /** Whichever of them is chosen is the answer's last token. */
  readonly stop_tokens: Uint32Array;
  /**
   * The answer, whatever would be chosen: each comes with its own logprobs, those that it had when it
   * was chosen, bit for bit. The last of them ends the session. Empty: tokens are chosen.
   */
  readonly enforced_tokens: Uint32Array;
  readonly sampling: Sampling;
}

export interface TokenLogprob {
  readonly id: number;
  /**
   * Natural logarithm of its probability by the model alone, before temperature, penalties and bias;
   * a float32.
   */
  readonly logprob: number;
}

/** One token of an answer. */
export interface SessionToken extends TokenLogprob {
  /** NaN where `top_logprobs` of the session is null. */
  readonly logprob: number;
  /** The likeliest first, of equal ones the lowest id. */
  readonly top_logprobs: readonly TokenLogprob[];
}

/** How a session ended. */
export interface SessionEnd {
  /** `stop`: by one of its stop_tokens; `length`: by max_tokens, or the last of enforced_tokens. */
  readonly finish_reason: "stop" | "length" | "cancelled";
  /** How many of the prompt's tokens needed no computing, since another session had begun likewise. */
  readonly cached_tokens: number;
}

/** What a runner's sessions take and do. */
export interface SessionStats {
  /** Of the cache of keys and values, and those that sessions hold. */
  readonly pages: number;
  readonly pages_in_use: number;
  readonly running: number;
  readonly waiting: number;
  /** How often a session gave its pages to older ones, to be computed again later. */
  readonly preempted: number;
}

/**
 * A runner's sessions.
 *
 * Nothing waits for whoever hears of tokens: what a listener keeps is for it to bound, and is never
 * more than `max_tokens` of its session.
 */
export interface SessionRunner {
  /** null: the runner was loaded without room for sessions. */
  readonly sessionLimits: SessionLimits | null;
  /**
   * Calls `onToken` for each token of the answer, and resolves after the last. Rejects with an
   * ordinary Error where the session is not possible or too many are waiting, and with `RunnerLost`
   * when the runner is gone. A promise is never left pending.
   */
  openSession(session: TokenSession, onToken: (token: SessionToken) => void): Promise<SessionEnd>;
  /**
   * Ends the session as `cancelled` within a step, and frees what it took. Does nothing for an id that
   * it does not know; never throws.
   */
  cancelSession(id: number): void;
  /** As they were a second ago or later; null: no room for sessions, or not told yet. */
  readonly sessionStats: SessionStats | null;
}
