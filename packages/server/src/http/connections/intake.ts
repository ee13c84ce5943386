/** Reads a connection no faster than what was read is dealt with. */
import type { Socket } from "node:net";
import { letGo } from "./let-go.ts";
import type { Turns } from "./turns.ts";
import { endBody, type Part, type Unfinished } from "./unfinished.ts";

/** Bytes that are held back before a socket is not read; until then a hang-up is noticed at once. */
const MOST_HELD = 16 * 1024;
/** Bytes that Node may read of a socket that is paused: what one read gives. */
const READ_AHEAD = 64 * 1024;
/** Bytes that are read once the last answer is written, since the other side's end comes behind them. */
const MOST_LATE = 256 * 1024;

interface IntakeOptions {
  /** Shared by all connections: when many have sent much, each waits for its turn to be parsed. */
  turns: Turns;
  /** Counts what is held back, and ends the connection where that is too much in all. */
  unfinished: Unfinished;
  /** Whether what was parsed before must be dealt with first. */
  isFull: () => boolean;
  /** How many bytes of a chunk to parse next, at least 1. */
  piece: (chunk: Buffer) => number;
  /** The other side will send nothing more; `passEnd` tells the parser. May be called again. */
  onEnd: () => void;
}

/**
 * Stands between a socket and its parser. A parser handles all that it is given: a chunk of 64 KiB
 * holds thousands of requests. So it is given pieces, and the next only when there is room, and time
 * in this turn of the event loop. The first piece of what comes is always parsed: a question is no
 * longer.
 */
export class Intake {
  readonly #socket: Socket;
  readonly #options: IntakeOptions;
  readonly #parse: (chunk: Buffer) => void;
  readonly #end: () => void;
  /** What was read and is not parsed yet. */
  #held: Buffer | null = null;
  /** How that is counted. */
  #part: Part | null = null;
  #isParsing = false;
  #isPaused = false;
  /** Whether it waits for a turn to parse more. */
  #isTaken = false;
  #hasEnded = false;
  /** Bytes that came when the last answer was written already. */
  #late = 0;
  #isLetGo = false;
  #isOver = false;

  /** Called when the parser listens to the socket already, and before its first byte. */
  constructor(socket: Socket, options: IntakeOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#parse = takeListeners(socket, "data", this.#receive);
    this.#end = takeListeners(socket, "end", this.#onEnd);
    socket.on("resume", this.#onResume);
    socket.once("close", this.#onClose);
  }

  /** Whether nothing waits to be parsed. */
  get isEmpty(): boolean {
    return this.#held === null;
  }

  /** There may be room again. */
  goOn = (): void => {
    if (this.#isParsing || this.#isTaken || this.#isLetGo) return;
    if (this.#socket.writableEnded) this.#held = null;
    this.#isParsing = true;
    for (let isFirst = true; this.#held && !this.#isStopped; isFirst = false) {
      if (!isFirst && !this.#options.turns.hasTime) {
        this.#takeTurn();
        break;
      }
      const held: Buffer = this.#held;
      const size = Math.min(held.length, this.#options.piece(held));
      if (this.#socket.destroyed || this.#isLetGo) break; // what came is the reason
      this.#held = size < held.length ? held.subarray(size) : null;
      this.#parse(held.subarray(0, size));
    }
    this.#isParsing = false;
    if (!this.#held) this.#uncount();
    if (!this.#isPaused || this.#isTaken || this.#isOver || this.#isLetGo) return;
    if (this.#options.isFull()) return;
    this.#isPaused = false;
    this.#socket.resume();
  };

  /** Throws away what has come, and lets the connection go. */
  letGo(): void {
    if (this.#isLetGo || this.#isOver) return;
    this.#isLetGo = true;
    this.#held = null;
    this.#uncount();
    this.#isPaused = true;
    letGo(this.#socket);
  }

  /** Does nothing once the socket is closed. */
  passEnd(): void {
    this.#hasEnded = false;
    if (!this.#isOver) this.#end();
  }

  /** Another protocol takes the socket over, with all that was not parsed yet. */
  handOver(): void {
    this.#isOver = true;
    this.#socket.removeListener("data", this.#receive);
    this.#socket.removeListener("end", this.#onEnd);
    this.#socket.removeListener("resume", this.#onResume);
    this.#socket.removeListener("close", this.#onClose);
    if (this.#held) this.#socket.unshift(this.#held);
    this.#held = null;
    this.#uncount();
  }

  #takeTurn(): void {
    this.#isTaken = true;
    this.#options.turns.take(() => {
      this.#isTaken = false;
      this.goOn();
      if (this.#hasEnded) this.#options.onEnd();
    });
  }

  /** Whoever reads a body resumes its socket too, and knows nothing of what is held. */
  #onResume = (): void => {
    if (this.#isPaused) this.#socket.pause();
    this.goOn();
  };

  #onEnd = (): void => {
    this.#hasEnded = true;
    if (this.#isTaken) return;
    if (this.#options.turns.hasTime) this.#options.onEnd();
    else this.#takeTurn(); // thousands may end at once
  };

  /** From now on the parser belongs to nobody, or to another connection already. */
  #onClose = (): void => {
    this.#isOver = true;
    this.#held = null;
    this.#uncount();
  };

  #receive = (chunk: Buffer): void => {
    if (this.#isLetGo) return;
    if (this.#socket.writableEnded) {
      this.#late += chunk.length;
      if (this.#late > MOST_LATE) this.letGo();
      return;
    }
    this.#held = this.#held ? Buffer.concat([this.#held, chunk]) : chunk;
    this.goOn();
    if (this.#held) this.#count(chunk.length);
    if (this.#isOver || this.#isPaused) return;
    if (!this.#isTaken && (this.#held?.length ?? 0) < MOST_HELD) return;
    this.#isPaused = true;
    this.#part?.add(READ_AHEAD);
    this.#socket.pause();
  };

  #count(bytes: number): void {
    this.#part ??= this.#options.unfinished.begin(() => {
      endBody(this.#socket);
      this.#socket.destroy();
    });
    this.#part.add(bytes);
  }

  #uncount = (): void => {
    this.#part?.done();
    this.#part = null;
  };

  get #isStopped(): boolean {
    // The HTTP server marks a socket that it must not be given more of.
    const socket = this.#socket as Socket & { _paused?: boolean };
    const isPaused = socket._paused === true || (socket.isPaused() && !this.#isPaused);
    return this.#isOver || socket.destroyed || isPaused || this.#options.isFull();
  }
}

/**
 * Puts a listener in the place of all others, and gives what calls those. Who stops to listen hears
 * nothing more, as `ws` after a close frame: in the place of each stands a mark, which Node removes
 * when that listener is removed (by its `listener`, like those of `once`).
 */
function takeListeners<T extends unknown[]>(
  socket: Socket,
  event: string,
  listener: (...args: T) => void,
): (...args: T) => void {
  const others = socket.listeners(event) as ((...args: T) => void)[];
  socket.on(event, listener as (...args: unknown[]) => void);
  for (const other of others) {
    socket.removeListener(event, other as () => void);
    socket.on(
      event,
      Object.assign(() => {}, { listener: other }),
    );
  }
  return (...args) => {
    const present = socket.listeners(event);
    for (const other of others) if (present.includes(other)) other.apply(socket, args);
  };
}
