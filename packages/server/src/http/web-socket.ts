/** A WebSocket that is read only as fast as it is answered and its client reads the answers. */
import { setMaxListeners } from "node:events";
import type { Socket } from "node:net";
import { WebSocket } from "ws";
import type { Bodies } from "./bodies.ts";
import { Intake } from "./intake.ts";
import { type Owed, STALL_MS } from "./owed.ts";
import type { Lanes } from "./turns.ts";
import type { Part, Unfinished } from "./unfinished.ts";
import { pieces } from "./written.ts";

/** Calls under way on one socket before it is not read. */
const MAX_CALLS = 128;
/** Bytes that are parsed at a time; few, since a message may have as little as six. */
const PIECE = 1024;
/** Bytes of a client's ping or pong besides its data. */
const CONTROL_FRAME = 6;

interface Flow {
  socket: Socket;
  owed: Owed;
  lanes: Lanes;
  bodies: Bodies;
  unfinished: Unfinished;
}

/** For the server of `ws`, which makes one for each connection. */
export class FlowingWebSocket extends WebSocket {
  readonly #ended = new AbortController();
  readonly #messages: unknown[][] = [];
  #flow: (Flow & { intake: Intake }) | null = null;
  /** The message that is coming, or waits to be read. */
  #part: Part | null = null;
  #calls = 0;
  /** Whether a message waits for its turn. */
  #isTaken = false;
  /** Resolves when everything has been taken, or the socket is closed. */
  #drained: { promise: Promise<void>; resolve(): void } | null = null;

  /** Called before its first message. */
  begin(flow: Flow): void {
    const { socket } = flow;
    setMaxListeners(0, this.#ended.signal); // every subscription listens
    const intake = new Intake(socket, {
      turns: flow.lanes.reading,
      unfinished: flow.unfinished,
      isFull: () => this.#messages.length > 0 || this.#isFull,
      piece: (chunk) => {
        const size = Math.min(chunk.length, PIECE);
        this.#part ??= flow.unfinished.begin(() => this.terminate());
        this.#part.add(size);
        return size;
      },
      onEnd: () => {
        this.#end();
        intake.passEnd();
      },
    });
    this.#flow = { ...flow, intake };
    socket.on("drain", () => this.#goOn());
    socket.setTimeout(STALL_MS, () => {
      if (socket.writableLength > 0) this.terminate();
    });
    this.once("close", () => this.#end());
    // They belong to no message. Counted as one, a subscriber's pongs would grow older and more than
    // any attacker's bodies.
    const uncount = (data: Buffer) => this.#part?.remove(data.length + CONTROL_FRAME);
    this.on("ping", uncount).on("pong", uncount);
  }

  /** Aborts as soon as nothing can be sent to the client any more. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  /** Counts a call in; gives what counts it out. */
  call(): () => void {
    this.#calls++;
    return () => {
      this.#calls--;
      this.#goOn();
    };
  }

  /** Resolves when the client can take more, or is gone. */
  async writable(): Promise<void> {
    while (this.#owesTooMuch && !this.ended.aborted) {
      this.#drained ??= withResolver();
      await this.#drained.promise;
      await this.#flow?.lanes.questions.next(); // not all of its subscriptions at once
    }
  }

  override emit(event: string | symbol, ...args: unknown[]): boolean {
    if (event !== "message") return super.emit(event, ...args);
    this.#messages.push(args);
    this.#next();
    return true;
  }

  override send(data: unknown, ...rest: unknown[]): void {
    const parts = typeof data === "string" ? pieces(data) : [];
    if (parts.length < 2) {
      super.send(...([data, ...rest] as Parameters<WebSocket["send"]>));
      return;
    }
    // One message in fragments, so that long lists need not be copied into it.
    const last = parts.length - 1;
    this.#flow?.socket.cork();
    parts.forEach((part, i) => {
      super.send(part, { binary: false, fin: i === last });
    });
    this.#flow?.socket.uncork();
  }

  override close(code?: number, reason?: string | Buffer): void {
    this.#end();
    super.close(code, reason);
  }

  override terminate(): void {
    this.#end();
    super.terminate();
  }

  get #owesTooMuch(): boolean {
    return this.#flow?.owed.isTooMuch(this.#flow.socket) === true;
  }

  get #isFull(): boolean {
    return this.#isTaken || this.#calls >= MAX_CALLS || this.#owesTooMuch;
  }

  #next(): void {
    if (this.#messages.length === 0 || this.#isFull) return;
    this.#isTaken = true;
    this.#flow?.lanes.questions.take(async () => {
      const message = this.#messages.shift();
      if (message && !this.ended.aborted) await this.#give(message);
      this.#dropPart();
      this.#isTaken = false;
      this.#goOn();
    });
  }

  /** Hands a message on, a large one once it has been read on the thread. */
  async #give(message: unknown[]): Promise<void> {
    const [data] = message as [Buffer];
    const bodies = this.#flow?.bodies;
    if (!bodies?.isLarge(data)) {
      super.emit("message", ...message);
      return;
    }
    try {
      const { text, forget } = await bodies.readMessage(data, this.ended);
      if (!this.ended.aborted) super.emit("message", Buffer.from(text), false);
      forget(); // its marks have been read by now
    } catch {
      this.terminate(); // the thread broke, or the client is gone
    }
  }

  /** Something may have made room. */
  #goOn(): void {
    if (!this.#owesTooMuch) this.#wake();
    this.#next();
    this.#flow?.intake.goOn();
  }

  #wake(): void {
    this.#drained?.resolve();
    this.#drained = null;
  }

  #dropPart(): void {
    this.#part?.done();
    this.#part = null;
  }

  #end(): void {
    this.#dropPart();
    this.#ended.abort();
    this.#messages.length = 0;
    this.#wake();
  }
}

function withResolver(): { promise: Promise<void>; resolve(): void } {
  let resolve = () => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
