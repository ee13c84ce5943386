/** Brings to the aggregators what is due, however long they are away (docs/protocol.md §4). */
import { setTimeout as sleep } from "node:timers/promises";
import { type DeliveryInfo, type Logger, pauseAfter, within } from "@proofmill/core";
import type { Delivery, DeliveryKind, DueRound, Outbox } from "./outbox.ts";
import { Places } from "./places.ts";
import { Portion } from "./portion.ts";
import { failureOf, type Poster, RefusedError, TooLargeError } from "./request.ts";
import { type Waiting, WaitingDeliveries } from "./waiting.ts";

/** Between attempts of one lane. */
const BACKOFF = { first: 1000, most: 60_000 };
/** What is too old is looked for so often, milliseconds. */
const GIVE_UP_INTERVAL_MS = 60_000;
/** For so many URLs it is remembered how many finds they take at once. */
const MAX_PORTIONS = 1024;

export interface SenderOptions {
  outbox: Outbox;
  poster: Poster;
  /** Milliseconds between two requests with finds to one URL. */
  interval: number;
  /** Finds that one request has at most. */
  maxNonces: number;
  /** Milliseconds after which a find or a verdict is given up. */
  maxAge: number;
  log: Logger;
  /** Told when a receiver begins to fail and when it takes callbacks again; nobody by default. */
  onTrouble?: (trouble: Trouble) => void;
  /** Told of what is given up; nobody by default. */
  onGivenUp?: (given: GivenUp) => void;
  /** Told whenever a receiver has all that is due of a round; nobody by default. */
  onDelivered?: (delivered: DeliveredRound) => void;
  /** Told that a receiver says that this round's block is over; nobody by default. */
  onStale?: (round_id: string) => void;
}

/** What no receiver will have. */
export interface GivenUp {
  readonly nonces: number;
  readonly verdicts: number;
  /** What they are of; null of whatever was due. */
  readonly scheme: string | null;
  /** Why, for people. */
  readonly reason: string;
}

/** What became of the callbacks to one host; its `reason` is null once it takes them again. */
export interface Trouble {
  readonly host: string;
  readonly kind: DeliveryKind;
  /** What could not be delivered is of it; null where not even that is known. */
  readonly scheme: string | null;
  readonly reason: string | null;
}

/** All of a round's finds so far are with its receiver. */
export interface DeliveredRound extends Omit<DueRound, "rest"> {
  readonly host: string;
  readonly scheme: string;
  /** How many they are. */
  readonly finds: number;
}

/** Since the node started. */
type DeliveryCounters = Omit<DeliveryInfo, keyof Waiting>;

/** Where no callbacks are sent. */
export const NO_DELIVERIES: Readonly<DeliveryInfo> = {
  delivered_nonces: 0,
  delivered_verdicts: 0,
  failed_requests: 0,
  failures: {},
  given_up_nonces: 0,
  given_up_verdicts: 0,
  pending_nonces: 0,
  pending_verdicts: 0,
  oldest_seconds: 0,
};

/**
 * Two lanes for each URL, one for finds and one for verdicts; each has one request under way, once it
 * has a place. A lane that fails pauses and then goes on with another round or verdict, so that none
 * that is always refused holds the others up.
 */
export class CallbackSender {
  readonly counters: DeliveryCounters;
  readonly #options: SenderOptions;
  readonly #lanes = new Map<string, Lane[]>();
  /** The URL used last is at the end. */
  readonly #portions = new Map<string, Portion>();
  readonly #places = new Places();
  readonly #closing = new AbortController();
  readonly #unsubscribe: () => void;
  readonly #timer: NodeJS.Timeout;
  readonly #waiting: WaitingDeliveries;

  /** Sends what the outbox holds from before, and from now on what becomes due. */
  static async start(options: SenderOptions): Promise<CallbackSender> {
    const sender = new CallbackSender(options);
    await sender.#giveUp();
    for (const url of await options.outbox.dueUrls()) sender.#wake(url);
    return sender;
  }

  private constructor(options: SenderOptions) {
    this.#options = options;
    const { pending_nonces, pending_verdicts, oldest_seconds, ...counters } = NO_DELIVERIES;
    this.counters = { ...counters, failures: {} };
    this.#waiting = new WaitingDeliveries(options.outbox);
    this.#unsubscribe = options.outbox.onDue((url) => this.#wake(url));
    this.#timer = setInterval(() => void this.#giveUp(), GIVE_UP_INTERVAL_MS).unref();
  }

  /** What was sent so far, and what waits. */
  async info(): Promise<DeliveryInfo> {
    return { ...this.counters, ...(await this.#waiting.now()) };
  }

  /**
   * Sends what is due without further pauses, and breaks off what still is under way after so long;
   * what is not acknowledged stays in the outbox. Receivers that fail are not tried again.
   */
  async close(milliseconds = 0): Promise<void> {
    this.#unsubscribe();
    clearInterval(this.#timer);
    const lanes = [...this.#lanes.values()].flat();
    const ended = Promise.all(lanes.map((lane) => lane.flush()));
    await within(milliseconds, ended);
    this.#closing.abort();
    this.#places.close();
    await ended;
    await this.#options.poster.close();
  }

  #wake(url: string): void {
    if (!URL.canParse(url)) {
      this.#options.log.error({}, "a stored callback address is none: nothing is sent there");
      return;
    }
    let lanes = this.#lanes.get(url);
    if (!lanes) {
      const { signal } = this.#closing;
      const wakeAll = () => {
        for (const lane of lanes ?? []) lane.hurry();
      };
      lanes = (["generated", "validated"] as const).map(
        (kind) =>
          new Lane({
            ...this.#options,
            kind,
            url,
            signal,
            portion: this.#portion(url),
            places: this.#places,
            counters: this.counters,
            onSuccess: wakeAll,
            onIdle: () => this.#forget(url),
          }),
      );
      this.#lanes.set(url, lanes);
    }
    for (const lane of lanes) lane.wake();
  }

  #portion(url: string): Portion {
    const portion = this.#portions.get(url) ?? new Portion(this.#options.maxNonces);
    this.#portions.delete(url);
    this.#portions.set(url, portion);
    const [oldest] = this.#portions.keys();
    if (this.#portions.size > MAX_PORTIONS && oldest !== undefined) this.#portions.delete(oldest);
    return portion;
  }

  /** Callers may name a new URL with each round. */
  #forget(url: string): void {
    if (this.#lanes.get(url)?.every((lane) => lane.isIdle)) this.#lanes.delete(url);
  }

  async #giveUp(): Promise<void> {
    const { outbox, maxAge, log } = this.#options;
    try {
      const { nonces, verdicts } = await outbox.giveUp(maxAge);
      countGivenUp(this.#options, this.counters, {
        ...{ nonces, verdicts, scheme: null, reason: "too old" },
      });
    } catch (error) {
      if (!this.#closing.signal.aborted) log.error({ err: error }, "the outbox cannot be read");
    }
  }
}

function countGivenUp(
  { log, onGivenUp }: SenderOptions,
  counters: DeliveryCounters,
  given: GivenUp,
): void {
  const { nonces, verdicts, reason } = given;
  if (nonces + verdicts === 0) return;
  counters.given_up_nonces += nonces;
  counters.given_up_verdicts += verdicts;
  log.error({ nonces, verdicts }, `callbacks given up: ${reason}`);
  onGivenUp?.(given);
}

interface LaneOptions extends SenderOptions {
  kind: DeliveryKind;
  url: string;
  signal: AbortSignal;
  /** Finds that the URL takes at once. */
  portion: Portion;
  /** Those of all lanes. */
  places: Places;
  counters: DeliveryCounters;
  onSuccess: () => void;
  onIdle: () => void;
}

class Lane {
  readonly #options: LaneOptions;
  /** Key of what was sent last: the next attempt begins behind it. */
  #after = 0;
  /** Failures in a row. */
  #failures = 0;
  /** By the key of what was refused, how often in a row. */
  readonly #refusals = new Map<number, number>();
  #isDue = false;
  /** What the receiver has and the store does not know yet: it is not sent again. */
  #received: Delivery | null = null;
  #run: Promise<void> | null = null;
  #pause: AbortController | null = null;
  readonly #flush = new AbortController();

  constructor(options: LaneOptions) {
    this.#options = options;
  }

  get isIdle(): boolean {
    return this.#run === null;
  }

  /** Something may be due. */
  wake(): void {
    this.#isDue = true;
    this.#run ??= this.#send().finally(() => {
      this.#run = null;
      // Something may have become due after the last look.
      if (this.#isDue && !this.#options.signal.aborted) this.wake();
      else this.#options.onIdle();
    });
  }

  /** Sends what is due at once, until nothing is or the receiver fails; resolves then. */
  async flush(): Promise<void> {
    this.#flush.abort();
    await this.#run;
  }

  /** The receiver answers again: no more waiting. */
  hurry(): void {
    this.#pause?.abort();
  }

  async #send(): Promise<void> {
    const { signal, interval, places, kind, url } = this.#options;
    const { host } = new URL(url);
    const work = () => this.#sendOne();
    while (this.#isDue && !signal.aborted) {
      this.#isDue = false;
      const begin = performance.now();
      const isFailing = this.#failures > 0;
      const sent = await places.with({ kind, host, isFailing }, work);
      if (sent === "nothing" || sent === null) continue;
      this.#isDue = true;
      if (sent === "failed" && this.#flush.signal.aborted) this.#isDue = false;
      else if (sent === "failed") await this.#waitAfterFailure();
      else if (sent === "last") {
        const rest = interval - (performance.now() - begin);
        const either = AbortSignal.any([signal, this.#flush.signal]);
        await sleep(Math.max(0, rest), undefined, { signal: either }).catch(() => {});
      }
    }
  }

  /** @returns what came of it: `last` when nothing more is due, `more` when something may be */
  async #sendOne(): Promise<"nothing" | "last" | "more" | "failed"> {
    const { outbox, poster, url, kind, portion, counters, signal, log } = this.#options;
    const { places, onTrouble, onDelivered } = this.#options;
    const { host } = new URL(url); // the rest may hold a token, which is not for the log
    const maxNonces = portion.size;
    let delivery = this.#received;
    try {
      if (!delivery) {
        delivery = await outbox.next({ kind, callback_url: url, after: this.#after, maxNonces });
        if (!delivery) return "nothing";
        this.#after = delivery.key;
        await poster.post({ url, kind: delivery.path, body: delivery.body, signal });
        this.#received = delivery;
        places.remember(host);
      }
      await outbox.acknowledge(delivery);
      this.#received = null;
      this.#refusals.delete(delivery.key);
      if (kind === "generated") {
        counters.delivered_nonces += delivery.count;
        portion.passed(delivery.count);
      } else counters.delivered_verdicts++;
      if (this.#failures > 0) {
        log.info({ host, kind }, "callbacks are delivered again");
        onTrouble?.({ host, kind, scheme: delivery.scheme, reason: null });
      }
      this.#failures = 0;
      const { round, scheme, upTo: finds } = delivery;
      if (round?.rest === 0) onDelivered?.({ host, scheme, ...round, finds });
      this.#options.onSuccess();
      return kind === "validated" || delivery.count >= maxNonces ? "more" : "last";
    } catch (error) {
      if (signal.aborted) return "nothing";
      counters.failed_requests++;
      const cause = failureOf(error);
      counters.failures[cause] = (counters.failures[cause] ?? 0) + 1;
      const reason = reasonOf(error);
      // A verdict is never divided, nor is a single find.
      const divisible = kind === "generated" ? (delivery?.count ?? 0) : 1;
      if (error instanceof TooLargeError && portion.shrink(divisible)) {
        const fields = { host, reason, max_nonces: portion.size };
        log.warn(fields, "a callback was too large, the next has half as many finds");
        return "more";
      }
      if (error instanceof RefusedError && delivery) {
        if (await this.#isGivenUp(delivery, error)) return "more";
      }
      if (this.#failures === 0)
        onTrouble?.({ host, kind, scheme: delivery?.scheme ?? null, reason });
      this.#failures++;
      log.warn({ host, kind, reason }, "a callback failed, it is tried again");
      return "failed";
    }
  }

  /** Counts a refusal; after too many of them the receiver is not asked again. */
  async #isGivenUp(delivery: Delivery, refusal: RefusedError): Promise<boolean> {
    const { outbox, counters, onStale, log } = this.#options;
    const { key, round, scheme, maxRefusals } = delivery;
    if (maxRefusals === null) return false;
    if (refusal.isStale && round) onStale?.(round.round_id);
    const refusals = (this.#refusals.get(key) ?? 0) + 1;
    this.#refusals.set(key, refusals);
    if (refusals < maxRefusals) return false;
    try {
      const given = await outbox.giveUpOn(delivery);
      this.#refusals.delete(key);
      const reason = `${refusal.message} ${refusals} times`;
      countGivenUp(this.#options, counters, { ...given, scheme, reason });
      return true;
    } catch (error) {
      log.error({ err: error }, "the outbox cannot be written");
      return false;
    }
  }

  async #waitAfterFailure(): Promise<void> {
    const { signal } = this.#options;
    this.#pause = new AbortController();
    const either = AbortSignal.any([signal, this.#pause.signal, this.#flush.signal]);
    const pauseMs = pauseAfter(this.#failures, BACKOFF);
    await sleep(pauseMs, undefined, { signal: either }).catch(() => {});
    this.#pause = null;
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.message || ((error as NodeJS.ErrnoException).code ?? error.name);
}
