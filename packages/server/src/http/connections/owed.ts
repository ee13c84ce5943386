/** Bounds how much waits to be sent to callers who do not read. */
import type { Server } from "node:http";
import type { Socket } from "node:net";
import { connectionEvent } from "./accepting.ts";

/** When more bytes wait for a connection, it gets nothing further until they are taken. */
const PER_CONNECTION = 64 * 1024;
/** When more wait for all connections together, each gets only what its socket takes at once. */
const IN_ALL = 128 * 1024 * 1024;
/** What waits for all connections is summed up again after so many milliseconds. */
const SUM_AGE = 100;
/** A connection that takes nothing of what waits for it within so many milliseconds is dropped. */
export const STALL_MS = 30_000;

/** Bytes that were written to sockets and that the kernel has not taken yet. */
export class Owed {
  readonly #sockets = new Set<Socket>();
  #sum = 0;
  #summed = Number.NEGATIVE_INFINITY;

  /** Counts every connection of a server, and drops those that take nothing. */
  watch(server: Server): void {
    server.on(connectionEvent(server), (socket: Socket) => {
      if (this.#sockets.has(socket)) return; // an offer to upgrade was declined
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
    });
    // Called when a socket neither sends nor takes for so long. If nothing waits for it, an answer
    // may still be computed.
    server.setTimeout(STALL_MS, (socket) => {
      if (socket.writableLength > 0) socket.destroy();
    });
  }

  /** Whether so much waits for a connection that its "drain" should be waited for. */
  isTooMuch(socket: Socket): boolean {
    const { writableLength, writableHighWaterMark } = socket;
    if (writableLength <= writableHighWaterMark) return false; // there would be no "drain"
    return writableLength > PER_CONNECTION || this.#inAll() > IN_ALL;
  }

  #inAll(): number {
    const now = performance.now();
    if (now - this.#summed > SUM_AGE) {
      this.#summed = now;
      this.#sum = 0;
      for (const { writableLength } of this.#sockets) this.#sum += writableLength;
    }
    return this.#sum;
  }
}
