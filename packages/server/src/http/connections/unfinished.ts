/** Bounds the memory that bodies and messages take which have not come whole yet. */
import type { Socket } from "node:net";
import type { FastifyInstance } from "fastify";
import { cutOff } from "./bad-http.ts";

/** Bytes in all, or two bodies if those are more. */
const LIMIT = 16 * 1024 * 1024;

/** Something that comes, from its first byte until nothing of it has to be kept. */
export interface Part {
  add(bytes: number): void;
  /** So many bytes need not be kept. Once that is true of all, those that follow are young again. */
  remove(bytes: number): void;
  /** Idempotent. */
  done(): void;
}

interface Held {
  bytes: number;
  since: number;
  readonly end: () => void;
}

/** When they have too many bytes together, one is ended: the one that has held most for longest. */
export class Unfinished {
  readonly #limit: number;
  readonly #held = new Set<Held>();
  #bytes = 0;

  constructor(bodyLimit: number, limit = LIMIT) {
    this.#limit = Math.max(limit, 2 * bodyLimit);
  }

  /** @param end throws away what has come, and whoever sends it */
  begin(end: () => void): Part {
    const held: Held = { bytes: 0, since: performance.now(), end };
    this.#held.add(held);
    return {
      add: (bytes) => {
        if (!this.#held.has(held)) return;
        held.bytes += bytes;
        this.#bytes += bytes;
        if (this.#bytes > this.#limit) this.#endWorst();
      },
      remove: (bytes) => {
        if (!this.#held.has(held)) return;
        const removed = Math.min(bytes, held.bytes);
        held.bytes -= removed;
        this.#bytes -= removed;
        if (held.bytes === 0) held.since = performance.now();
      },
      done: () => this.#remove(held),
    };
  }

  #endWorst(): void {
    const now = performance.now();
    let worst: Held | undefined;
    let most = -1;
    for (const held of this.#held) {
      const weight = held.bytes * (now - held.since);
      if (weight <= most) continue;
      most = weight;
      worst = held;
    }
    if (!worst) return;
    this.#remove(worst);
    worst.end();
  }

  #remove(held: Held): void {
    if (this.#held.delete(held)) this.#bytes -= held.bytes;
  }
}

const TOO_MANY = "Too many large bodies are coming";

/** Ends a connection whose body takes too much; OpenAI's clients read `error`. */
export function endBody(socket: Socket): void {
  const error = { message: TOO_MANY, type: "service_unavailable", param: null, code: null };
  cutOff(socket, 503, TOO_MANY, { error });
}

/** Counts the bodies that a scope's routes collect. */
export function countBodies(scope: FastifyInstance, unfinished: Unfinished): void {
  scope.addHook("preParsing", (request, _reply, payload, done) => {
    const { raw } = request;
    const part = unfinished.begin(() => {
      endBody(raw.socket);
      raw.destroy();
    });
    payload.on("data", (chunk: Buffer) => part.add(chunk.length));
    payload.once("end", part.done);
    raw.once("close", part.done);
    done(null, payload); // at once, or what comes meanwhile would be lost
  });
}
