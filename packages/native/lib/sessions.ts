/** A loaded model's token sessions: checks them before the addon is asked, and tells each its own. */
import type {
  ModelInfo,
  SessionEnd,
  SessionLimits,
  SessionToken,
  TokenSession,
} from "@proofmill/core";
import type { NativeModel, NativeSessionEvent } from "./binding.ts";
import { checkSession } from "./session-checks.ts";

interface Open {
  onToken(token: SessionToken): void;
  resolve(end: SessionEnd): void;
  reject(error: Error): void;
}

export class NativeSessions {
  readonly limits: SessionLimits;
  readonly #model: NativeModel;
  readonly #info: Pick<ModelInfo, "vocab_size">;
  readonly #open = new Map<number, Open>();

  /** @param model has room for sessions of these limits */
  constructor(model: NativeModel, info: Pick<ModelInfo, "vocab_size">, limits: SessionLimits) {
    this.#model = model;
    this.#info = info;
    this.limits = limits;
    model.onSessionEvents((events) => this.#tell(events));
  }

  open(session: TokenSession, onToken: (token: SessionToken) => void): Promise<SessionEnd> {
    return new Promise((resolve, reject) => {
      checkSession(session, this.#info, this.limits);
      if (this.#open.has(session.id)) throw new Error(`session ${session.id} is given twice`);
      const { logit_bias, seed, ...sampling } = session.sampling;
      this.#model.openSession({
        ...session,
        sampling: {
          ...sampling,
          seed: Uint32Array.of(seed % 2 ** 32, Math.floor(seed / 2 ** 32)),
          biased_tokens: Uint32Array.from(logit_bias, ([token]) => token),
          biases: Float32Array.from(logit_bias, ([, bias]) => bias),
        },
      });
      this.#open.set(session.id, { onToken, resolve, reject });
    });
  }

  cancel(id: number): void {
    if (this.#open.has(id)) this.#model.cancelSession(id);
  }

  #tell(events: NativeSessionEvent[]): void {
    for (const { session, token, finish, cached_tokens = 0, error, device_lost } of events) {
      const open = this.#open.get(session);
      if (!open) continue;
      if (token) open.onToken(token);
      if (!finish) continue;
      this.#open.delete(session);
      if (finish !== "failed") open.resolve({ finish_reason: finish, cached_tokens });
      else open.reject(Object.assign(new Error(error), device_lost && { code: "DEVICE_LOST" }));
    }
  }
}
