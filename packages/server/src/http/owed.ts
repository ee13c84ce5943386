/** How much may wait for those who do not read. */
import type { Server } from "node:http";
import type { Socket } from "node:net";

/** Bytes that wait for one connection before it gets no more … */
const PER_CONNECTION = 64 * 1024;
/** … and while so many wait in all, it gets only what a socket takes at once. */
const IN_ALL = 128 * 1024 * 1024;
/** Milliseconds that a sum of what waits in all holds. */
const SUM_AGE = 100;
/** Milliseconds in which somebody must take something of what waits for him. */
export const STALL_MS = 30_000;

/** Bytes that were written to sockets and that the kernel has not taken yet. */
export class Owed {
  readonly #sockets = new Set<Socket>();
  #sum = 0;
  #summed = Number.NEGATIVE_INFINITY;

  /** Counts every connection of a server, and drops those that take nothing. */
  watch(server: Server): void {
    server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
    });
    // Of a socket that neither sends nor takes. A request may be computed for longer than that.
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
