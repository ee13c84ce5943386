/** What a process prints, written so that no state of a file, a pipe or a terminal can stop it. */
import { constants, fstatSync, openSync, write } from "node:fs";
import { isatty } from "node:tty";
import { within } from "@proofmill/core";
import { printable } from "./printable.ts";

/** Text that waits for a reader; more than so many characters is lost. */
const MAX_WAITING = 1 << 20;
/** A full pipe or terminal is tried again so often, milliseconds: no event tells when it has room. */
const RETRY_MS = 100;
/** The process' end waits so long for what is not written yet, milliseconds. */
const EXIT_GRACE_MS = 300;

type Done = (error: NodeJS.ErrnoException | null, written: number) => void;
/** Writes from the front of the bytes, and says how many it could. */
type Sink = (bytes: Buffer, done: Done) => void;

interface OutputOptions {
  /** Called once, with the first reason for which something could not be written. */
  onFault?: (fault: NodeJS.ErrnoException) => void;
  /** Writing works again after so many lines were lost. */
  onRecovery?: (lost: number) => void;
}

/**
 * One of the process' two outputs. Writing neither throws nor waits: text goes out in its order as
 * fast as it is taken. What cannot be written is lost and counted, and the next text is tried.
 *
 * @example
 * new Output(1).write("a line\n");
 */
export class Output {
  /** Whether this is a terminal; that can change when it is closed, so the beginning counts. */
  readonly isTTY: boolean;
  readonly #fd: 1 | 2;
  readonly #options: OutputOptions;
  #sink: Sink | null = null;
  #waiting: string[] = [];
  #size = 0;
  #isWriting = false;
  #lost = 0;
  /** Lost lines that `onRecovery` has been told of. */
  #toldLost = 0;
  #fault: NodeJS.ErrnoException | null = null;
  #last = 10;
  /** Whether a loss has left a part of a line behind. */
  #isCut = false;
  #whenIdle: (() => void)[] = [];

  constructor(fd: 1 | 2, options: OutputOptions = {}) {
    this.#fd = fd;
    this.#options = options;
    this.isTTY = isatty(fd);
  }

  /** Lines that could not be written, since the beginning. */
  get lost(): number {
    return this.#lost;
  }

  /** Why something could not be written; null when all could. */
  get fault(): NodeJS.ErrnoException | null {
    return this.#fault;
  }

  /** Whether this is a terminal whose user has not asked for plain text. */
  get hasColours(): boolean {
    const { NO_COLOR, TERM } = process.env;
    return this.isTTY && !NO_COLOR && TERM !== "dumb";
  }

  /** Width of the terminal in characters. */
  get columns(): number | undefined {
    return (this.#fd === 1 ? process.stdout : process.stderr).columns;
  }

  write(text: string): void {
    if (this.#size > 0 && this.#size + text.length > MAX_WAITING) {
      this.#lose(text, Object.assign(new Error("nobody reads it"), { code: "EAGAIN" }));
      return;
    }
    this.#waiting.push(text);
    this.#size += text.length;
    this.#next();
  }

  /** Resolves when everything is written, or lost. */
  idle(): Promise<void> {
    if (!this.#isWriting) return Promise.resolve();
    return new Promise((resolve) => this.#whenIdle.push(resolve));
  }

  #next(): void {
    if (this.#isWriting) return;
    if (this.#waiting.length === 0) {
      for (const resolve of this.#whenIdle.splice(0)) resolve();
      return;
    }
    this.#isWriting = true;
    if (this.#isCut) this.#waiting.unshift("\n");
    const bytes = Buffer.from(this.#waiting.join(""));
    this.#waiting = [];
    this.#send(bytes);
  }

  /** What is being sent goes on counting as waiting until it is done. */
  #send(bytes: Buffer): void {
    this.#sink ??= openSink(this.#fd);
    this.#sink(bytes, (error, written) => {
      if (written > 0) this.#last = bytes[written - 1] ?? 10;
      const rest = bytes.subarray(written);
      if (error?.code === "EAGAIN" || (!error && rest.length > 0)) {
        setTimeout(() => this.#send(rest), written > 0 ? 0 : RETRY_MS);
        return;
      }
      this.#isWriting = false;
      this.#size = this.#waiting.reduce((sum, { length }) => sum + length, 0);
      if (error) this.#lose(rest.toString(), error);
      else this.#recover();
      this.#next();
    });
  }

  #lose(text: string, error: NodeJS.ErrnoException): void {
    const lines = text.split("\n").length - 1;
    this.#lost += Math.max(1, this.#isCut ? lines - 1 : lines);
    this.#isCut = this.#last !== 10;
    if (this.#fault) return;
    this.#fault = error;
    this.#options.onFault?.(error);
  }

  #recover(): void {
    this.#isCut = false;
    const lost = this.#lost - this.#toldLost;
    if (lost === 0 || this.#size > 0) return;
    this.#toldLost = this.#lost;
    this.#options.onRecovery?.(lost);
  }
}

/** What commands print. A reader who closes the pipe has seen enough, which is no fault. */
export const stdout = new Output(1, {
  onFault: ({ code, message }) => {
    if (code !== "EPIPE") say(`the output cannot be written: ${message}`);
  },
});
/** What is said to people, beside what commands print. */
export const stderr = new Output(2);

/** One line for people. */
export function say(message: string): void {
  stderr.write(
    `proofmill: ${printable(message)
      .trim()
      .replaceAll(/\s*\n\s*/g, "; ")}\n`,
  );
}

/** Ends the process once what it printed is written, or cannot be written at once. */
export async function exit(code: number): Promise<never> {
  await within(EXIT_GRACE_MS, Promise.all([stdout.idle(), stderr.idle()]));
  process.exit(code);
}

/**
 * A pipe or terminal is opened anew, so that "do not wait" holds for this process and not for all
 * that share it. What cannot be opened, such as a socket, is left to Node, which does not wait for
 * sockets and pipes either.
 */
function openSink(fd: 1 | 2): Sink {
  let own: number = fd;
  try {
    const isTerminal = isatty(fd);
    // Not as plain numbers: Node 20's module loader takes the last such answer for its own, and
    // resolves no symbolic link after one about a pipe or socket.
    const stat = fstatSync(fd, { bigint: true });
    if (stat.isSocket()) return streamSink(fd);
    if (isTerminal || stat.isFIFO()) {
      const { O_WRONLY, O_NONBLOCK, O_NOCTTY } = constants;
      try {
        own = openSync(`/proc/self/fd/${fd}`, O_WRONLY | O_NONBLOCK | O_NOCTTY);
      } catch {
        if (!isTerminal) return streamSink(fd);
      }
    }
  } catch {
    // A descriptor that is closed: each write says so.
  }
  return (bytes, done) => write(own, bytes, 0, bytes.length, null, done);
}

function streamSink(fd: 1 | 2): Sink {
  const stream = fd === 1 ? process.stdout : process.stderr;
  stream.on("error", () => {}); // told to whoever writes
  return (bytes, done) =>
    stream.write(bytes, (error) => done(error ?? null, error ? 0 : bytes.length));
}
