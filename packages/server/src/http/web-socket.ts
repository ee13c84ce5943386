/** A WebSocket that is read only as fast as it is answered and its client reads the answers. */
import { setMaxListeners } from "node:events";
import type { IncomingMessage } from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import { WebSocket } from "ws";
import type { Guard } from "../access/guard.ts";
import type { Key } from "../access/keys.ts";
import { KEY_REQUIRED_CLOSE, MAX_FIRST_BYTES, type Newcomer } from "../access/newcomers.ts";
import { type Bodies, MAX_REFUSED } from "./bodies/bodies.ts";
import { Intake } from "./connections/intake.ts";
import { type Owed, STALL_MS } from "./connections/owed.ts";
import type { Lanes } from "./connections/turns.ts";
import type { Part, Unfinished } from "./connections/unfinished.ts";
import { pieces } from "./written.ts";

/** Calls under way on one socket before it is not read. */
const MAX_CALLS = 128;
/** Bytes that are parsed at a time; few, since a message may have as little as six. */
const PIECE = 1024;
/** Bytes of a client's ping or pong besides its data. */
const CONTROL_FRAME = 6;

/** Of a JSON text: what begins a list, and the last of the blanks that may stand before it. */
const OPENING_BRACKET = 0x5b;
const BLANK = 0x20;
/** After a close that the client does not answer, milliseconds. */
const CLOSE_GRACE_MS = 2000;

interface Flow {
  /** What became this WebSocket. */
  request: IncomingMessage;
  guard: Guard;
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
  /** The caller's; null where nobody needs one, and until one has been shown. */
  #key: Key | null = null;
  /** As long as a key has to be shown. */
  #newcomer: Newcomer | null = null;
  /** The message that is coming, or waits to be read. */
  #part: Part | null = null;
  #calls = 0;
  /** Whether a message waits for its turn. */
  #isTaken = false;
  /** Resolves when everything has been taken, or the socket is closed. */
  #drained: { promise: Promise<void>; resolve(): void } | null = null;

  /** Called before its first message. */
  begin(flow: Flow): void {
    const { request, guard } = flow;
    const { socket } = request;
    const refuse = () => this.drop(KEY_REQUIRED_CLOSE, "a valid API key is required");
    this.#newcomer = guard.newcomer(request, refuse);
    this.#admit(guard.keyOf(request));
    let first = 0; // bytes, while no key has been shown
    setMaxListeners(0, this.#ended.signal); // every subscription listens
    const intake = new Intake(socket, {
      turns: flow.lanes.reading,
      unfinished: flow.unfinished,
      isFull: () => this.#messages.length > 0 || this.#isFull,
      piece: (chunk) => {
        const size = Math.min(chunk.length, PIECE);
        first += size;
        if (this.#newcomer && first > MAX_FIRST_BYTES) this.terminate();
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

  /** The caller's key; null without one. */
  get key(): Key | null {
    return this.#key;
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
    if (this.#newcomer && !this.#showKey(args[0] as Buffer)) return true;
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
    this.#flow?.request.socket.cork();
    parts.forEach((part, i) => {
      super.send(part, { binary: false, fin: i === last });
    });
    this.#flow?.request.socket.uncork();
  }

  /** Says goodbye, and does not wait long for an answer. */
  drop(code: number, reason: string): void {
    this.close(code, reason);
    setTimeout(() => this.terminate(), CLOSE_GRACE_MS).unref();
  }

  /** Ends it; of what its client sends nothing more is read. */
  letGo(): void {
    this.#end();
    this.#flow?.intake.letGo();
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
    return this.#flow?.owed.isTooMuch(this.#flow.request.socket) === true;
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
    try {
      if (!bodies?.isLarge(data)) {
        await this.#waitFor(data);
        if (!this.ended.aborted) super.emit("message", ...message);
        return;
      }
      const { text, forget } = await bodies.readMessage(data, this.ended);
      const rest = Buffer.from(text);
      await this.#waitFor(rest);
      if (!this.ended.aborted) super.emit("message", rest, false);
      forget(); // its marks have been read by now
    } catch {
      this.terminate(); // the thread broke, or the client is gone
    }
  }

  /** A caller who asks for more than it may has its messages read more slowly. */
  async #waitFor(message: Buffer): Promise<void> {
    if (!this.#flow) return;
    const { guard, request } = this.#flow;
    if (!guard.isCounting) return;
    const wait = guard.pace(request, this.#key, callsIn(message));
    if (wait > 0) await pause(wait, undefined, { signal: this.ended, ref: false });
  }

  /**
   * Looks at the first message of one that has shown no key yet.
   *
   * @returns whether the message is for others too
   */
  #showKey(message: Buffer): boolean {
    const key = this.#newcomer?.show(message) ?? null;
    if (!key) return false;
    this.#newcomer = null;
    this.#admit(key);
    // tRPC waits for such a message where the address announced it.
    return /[?&]connectionParams=1(&|$)/.test(this.#flow?.request.url ?? "");
  }

  #admit(key: Key | null): void {
    this.#key = key;
    const end = () => this.drop(KEY_REQUIRED_CLOSE, "the API key is not valid any more");
    key?.revoked.addEventListener("abort", end, { signal: this.ended });
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
    this.#newcomer?.leave();
    this.#dropPart();
    this.#ended.abort();
    this.#messages.length = 0;
    this.#wake();
  }
}

/** How many calls a message has; what is none of them, such as a ping in text, counts as one. */
function callsIn(message: Buffer): number {
  const start = message.findIndex((byte) => byte > BLANK);
  if (message[start] !== OPENING_BRACKET) return 1;
  try {
    const calls: unknown = JSON.parse(message.toString());
    return Array.isArray(calls) ? Math.min(Math.max(1, calls.length), MAX_REFUSED) : 1;
  } catch {
    return 1;
  }
}

function withResolver(): { promise: Promise<void>; resolve(): void } {
  let resolve = () => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
