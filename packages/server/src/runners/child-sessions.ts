/** The token sessions of a runner's process, as the server sees them. */
import type { SessionEnd, SessionToken, TokenSession } from "@proofmill/core";
import type { FromRunner, ToRunner } from "./messages.ts";

interface Open {
  hasToken: boolean;
  onToken(token: SessionToken): void;
  resolve(end: SessionEnd): void;
  reject(error: Error): void;
}

/** What its process says of sessions. */
export type SessionMessage = Extract<
  FromRunner,
  { type: "tokens" | "session_ended" | "session_failed" }
>;

export class ChildSessions {
  readonly #send: (message: ToRunner) => void;
  readonly #onChange: () => void;
  readonly #open = new Map<number, Open>();
  /** Whether one has ended that had a token: its caller may well have read all that he wanted. */
  hasAnswered = false;

  /** @param onChange called when a session begins, ends, or has a token */
  constructor(send: (message: ToRunner) => void, onChange: () => void) {
    this.#send = send;
    this.#onChange = onChange;
  }

  get size(): number {
    return this.#open.size;
  }

  open(session: TokenSession, onToken: (token: SessionToken) => void): Promise<SessionEnd> {
    return new Promise((resolve, reject) => {
      if (this.#open.has(session.id)) throw new Error(`session ${session.id} is given twice`);
      this.#open.set(session.id, { hasToken: false, onToken, resolve, reject });
      this.#onChange();
      this.#send({ type: "open_session", session });
    });
  }

  cancel(id: number): void {
    if (this.#open.has(id)) this.#send({ type: "cancel_session", id });
  }

  receive(message: SessionMessage): void {
    switch (message.type) {
      case "tokens":
        for (const { session, token } of message.tokens) {
          const open = this.#open.get(session);
          if (!open) continue;
          open.hasToken = true;
          open.onToken(token);
        }
        this.#onChange();
        break;
      case "session_ended": {
        const open = this.#take(message.id);
        this.hasAnswered ||= open?.hasToken ?? false;
        open?.resolve(message.end);
        break;
      }
      case "session_failed":
        this.#take(message.id)?.reject(new Error(message.message));
        break;
    }
  }

  rejectAll(error: Error): void {
    for (const id of [...this.#open.keys()]) this.#take(id)?.reject(error);
  }

  #take(id: number): Open | undefined {
    const open = this.#open.get(id);
    this.#open.delete(id);
    this.#onChange();
    return open;
  }
}
