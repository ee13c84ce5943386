/** Reads a connection no faster than what was read is dealt with. */
import type { Socket } from "node:net";

/** Bytes that are held back before a socket is not read; until then a hang-up is noticed at once. */
const MOST_HELD = 64 * 1024;

export interface IntakeOptions {
  /** Whether what was parsed before must be dealt with first. */
  isFull: () => boolean;
  /** How many bytes of a chunk to parse next, at least 1. */
  piece: (chunk: Buffer) => number;
  /** The other side will send nothing more; `passEnd` tells the parser. */
  onEnd: () => void;
}

/**
 * Stands between a socket and its parser. A parser handles all that it is given: a chunk of 64 KiB
 * holds thousands of requests. So it is given pieces, and the next only when there is room.
 */
export class Intake {
  readonly #socket: Socket;
  readonly #options: IntakeOptions;
  readonly #parse: (chunk: Buffer) => void;
  readonly #end: () => void;
  /** What was read and is not parsed yet. */
  #held: Buffer | null = null;
  #isParsing = false;
  #isPaused = false;
  #isOver = false;

  /** Called when the parser listens to the socket already, and before its first byte. */
  constructor(socket: Socket, options: IntakeOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#parse = takeListeners(socket, "data", this.#receive);
    this.#end = takeListeners(socket, "end", options.onEnd);
    // Node's HTTP server stops and resumes a socket by itself too.
    socket.on("resume", this.goOn);
  }

  /** Whether nothing waits to be parsed. */
  get isEmpty(): boolean {
    return this.#held === null;
  }

  /** There may be room again. */
  goOn = (): void => {
    if (this.#isParsing) return;
    this.#isParsing = true;
    while (this.#held && !this.#isStopped) {
      const held: Buffer = this.#held;
      const size = Math.min(held.length, this.#options.piece(held));
      this.#held = size < held.length ? held.subarray(size) : null;
      this.#parse(held.subarray(0, size));
    }
    this.#isParsing = false;
    if (!this.#isPaused || this.#isOver || this.#options.isFull()) return;
    this.#isPaused = false;
    this.#socket.resume();
  };

  passEnd(): void {
    if (!this.#isOver) this.#end();
  }

  /** Another protocol takes the socket over, with all that was not parsed yet. */
  handOver(): void {
    this.#isOver = true;
    this.#socket.removeListener("data", this.#receive);
    this.#socket.removeListener("end", this.#options.onEnd);
    this.#socket.removeListener("resume", this.goOn);
    if (this.#held) this.#socket.unshift(this.#held);
    this.#held = null;
  }

  #receive = (chunk: Buffer): void => {
    this.#held = this.#held ? Buffer.concat([this.#held, chunk]) : chunk;
    this.goOn();
    if (this.#isOver || this.#isPaused || (this.#held?.length ?? 0) < MOST_HELD) return;
    this.#isPaused = true;
    this.#socket.pause();
  };

  get #isStopped(): boolean {
    // The HTTP server marks a socket that it must not be given more of.
    const socket = this.#socket as Socket & { _paused?: boolean };
    const isPaused = socket._paused === true || (socket.isPaused() && !this.#isPaused);
    return this.#isOver || socket.destroyed || isPaused || this.#options.isFull();
  }
}

/** Puts a listener in the place of all others, and gives what calls those. */
function takeListeners<T extends unknown[]>(
  socket: Socket,
  event: string,
  listener: (...args: T) => void,
): (...args: T) => void {
  const others = socket.listeners(event) as ((...args: T) => void)[];
  socket.on(event, listener as (...args: unknown[]) => void);
  for (const other of others) socket.removeListener(event, other as () => void);
  return (...args) => {
    for (const other of others) other.apply(socket, args);
  };
}
