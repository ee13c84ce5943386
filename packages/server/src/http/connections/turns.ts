/** Lets work begin a little at a time, so that the event loop never stands still for a crowd. */
import type { Server } from "node:http";

/** Milliseconds after which the rest waits for the next turn of the event loop. */
const BUDGET_MS = 1;
/** While connections come turns are shorter still: each accepts but one. */
const CROWDED_BUDGET_MS = 0.2;
/** After a connection others are expected for so long. */
const ARRIVAL_MS = 5;
/** What is patient lets others in before it for so long. */
const PATIENCE_MS = 250;

/** Knows when connections come. */
export class Arrivals {
  #last = Number.NEGATIVE_INFINITY;

  watch(server: Server): void {
    server.prependListener("connection", () => {
      this.#last = performance.now();
    });
  }

  /** Whether more may be waiting to be accepted. */
  get areComing(): boolean {
    return performance.now() - this.#last < ARRIVAL_MS;
  }
}

/** First come, first served. */
export class Turns {
  readonly #arrivals: Arrivals;
  readonly #isPatient: boolean;
  readonly #waiting: (() => void)[] = [];
  #isServing = false;
  /** When this turn's first work began; null before it. */
  #begun: number | null = null;
  /** Since when others are let in first; null when nobody comes. */
  #patientSince: number | null = null;

  /** @param options.isPatient whether connections are accepted before anything here begins */
  constructor({ arrivals, isPatient = false }: { arrivals: Arrivals; isPatient?: boolean }) {
    this.#arrivals = arrivals;
    this.#isPatient = isPatient;
  }

  /** Calls `begin` when its turn has come, never at once. */
  take(begin: () => void): void {
    this.#waiting.push(begin);
    if (this.#isServing) return;
    this.#isServing = true;
    setImmediate(this.#serve);
  }

  /** Resolves when its turn has come. */
  next(): Promise<void> {
    return new Promise((resolve) => this.take(resolve));
  }

  /** Whether this turn of the event loop has time for more; else that has to `take` one. */
  get hasTime(): boolean {
    const now = performance.now();
    if (this.#begun === null) {
      this.#begun = now;
      setImmediate(() => {
        this.#begun = null;
      });
    }
    return now - this.#begun < (this.#arrivals.areComing ? CROWDED_BUDGET_MS : BUDGET_MS);
  }

  #serve = (): void => {
    if (this.#letsOthersIn()) {
      setImmediate(this.#serve);
      return;
    }
    this.#begun = performance.now();
    this.#serveOne();
  };

  #letsOthersIn(): boolean {
    if (!this.#isPatient || !this.#arrivals.areComing) {
      this.#patientSince = null;
      return false;
    }
    const now = performance.now();
    this.#patientSince ??= now;
    return now - this.#patientSince < PATIENCE_MS;
  }

  #serveOne = (): void => {
    const begin = this.#waiting.shift();
    try {
      begin?.();
    } finally {
      // A tick comes when all promises that could go on have done so: their time counts too.
      queueMicrotask(() => process.nextTick(this.#goOn));
    }
  };

  #goOn = (): void => {
    if (this.#waiting.length === 0) this.#isServing = false;
    else if (this.hasTime) this.#serveOne();
    else setImmediate(this.#serve);
  };
}

/** What waits for a turn, by kind: each has a share of every turn of the event loop. */
export class Lanes {
  readonly arrivals = new Arrivals();
  /** Short questions, and the messages of WebSockets. */
  readonly questions = new Turns({ arrivals: this.arrivals });
  /** What has come and waits to be parsed. */
  readonly reading = new Turns({ arrivals: this.arrivals });
  /** What happens now, told to subscribers: there may be thousands. */
  readonly events = new Turns({ arrivals: this.arrivals });
  /** What takes more: bodies, handshakes of WebSockets, and subscribers who have to catch up. */
  readonly patient = new Turns({ arrivals: this.arrivals, isPatient: true });
}
