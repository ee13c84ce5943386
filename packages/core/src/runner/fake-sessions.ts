/** Token sessions without a model, for tests: an answer counts on from its prompt's last token. */
import { setImmediate as nextTurn } from "node:timers/promises";
import type {
  SessionEnd,
  SessionLimits,
  SessionRunner,
  SessionStats,
  SessionToken,
  TokenSession,
} from "./sessions.ts";

/** Each token in a turn of the event loop of its own; logprobs are those of a model that is certain. */
export class FakeSessions implements SessionRunner {
  readonly sessionLimits: SessionLimits = {
    max_len: 1024,
    max_sessions: 4,
    kv_cache_tokens: 4096,
  };
  readonly #vocabSize: number;
  readonly #open = new Set<number>();

  constructor(vocabSize: number) {
    this.#vocabSize = vocabSize;
  }

  async openSession(
    session: TokenSession,
    onToken: (token: SessionToken) => void,
  ): Promise<SessionEnd> {
    const { id, prompt, max_tokens, stop_tokens, enforced_tokens } = session;
    this.#open.add(id);
    const most = enforced_tokens.length > 0 ? enforced_tokens.length : max_tokens;
    let last = prompt.at(-1) ?? 0;
    for (let n = 0; n < most; n++) {
      await nextTurn();
      if (!this.#open.has(id)) return { finish_reason: "cancelled", cached_tokens: 0 };
      last = enforced_tokens[n] ?? (last + 1) % this.#vocabSize;
      onToken({ id: last, logprob: 0, top_logprobs: [] });
      if (stop_tokens.includes(last)) break;
    }
    this.#open.delete(id);
    const finish_reason = stop_tokens.includes(last) ? "stop" : "length";
    return { finish_reason, cached_tokens: 0 };
  }

  cancelSession(id: number): void {
    this.#open.delete(id);
  }

  /** A page for each session. */
  get sessionStats(): SessionStats {
    const { size } = this.#open;
    return { pages: 64, pages_in_use: size, running: size, waiting: 0, preempted: 0 };
  }
}
