/** A node as the page knows it: everything is told by the SDK, and kept in signals. */

import { computed, signal } from "@preact/signals";
import {
  type Connection,
  createPocClient,
  type PocClient,
  PocClientError,
  type ProofBatch,
  type Scope,
} from "@proofmill/client";
import { ValidateAnswer, ValidNoncesEvent } from "@proofmill/core/wire";
import { KEEPS, keep, recall } from "../storage.ts";
import { Finds, MOST_FINDS } from "./finds.ts";
import { Series } from "./series.ts";
import { fetchBounded, NotUnderstoodError, Told } from "./told.ts";
import {
  FindsSoFar,
  type NodeEvent,
  NodeEvents,
  NodeHistory,
  NodeInfo,
  StatusEvent,
} from "./told-schemas.ts";

/** Between two questions for what is not streamed. */
const POLL_MS = 2000;
/** After a node said that it cannot be followed now, e.g. since PoC is off. */
const AGAIN_MS = 5000;
/** Seconds of its past that a node is asked for beyond those since the last answer: a point of the day has ten. */
const OVERLAP = 12;
/** By so much a node's last point may be older than one before; more, and its clock was set back. */
const SET_BACK_MS = 10_000;
const MOST_EVENTS = 100;
/** What only another key, another origin or another address mends. */
const FINAL = new Set([
  ...["UNAUTHORIZED", "FORBIDDEN", "SCOPE_REQUIRED", "ORIGIN_REFUSED", "NOT_A_NODE"],
]);

/** The present round, whatever it proves; figures of artifacts are as old as `info`. */
type ShownRound = Pick<
  StatusEvent,
  | ("state" | "round_id" | "block_hash" | "block_height" | "public_key" | "r_target")
  | ("node_id" | "node_count" | "total_checked" | "rate_per_second" | "elapsed_seconds")
> & { proves: "distances" | "artifacts" | null };

export class FollowedNode {
  /** Its base address. */
  readonly url: string;
  readonly connection = signal<Connection>({ state: "connecting" });
  readonly status = signal<StatusEvent | null>(null);
  /** Since when the state is as it is, ms since 1970, if it changed while this page looked. */
  readonly changedAt = signal<number | null>(null);
  readonly info = signal<NodeInfo | null>(null);
  readonly round = computed(() => roundOf(this.status.value, this.info.value));
  /** Milliseconds that the last answer took. */
  readonly lag = signal<number | null>(null);
  /** Nonces a second over the last ten seconds; null: not known now. */
  readonly rateNow = signal<number | null>(null);
  /** The oldest first. */
  readonly events = signal<readonly NodeEvent[]>([]);
  readonly finds = new Finds();
  /** A point for each second, and for every ten. */
  readonly minutes = new Series({ most: 600, step: 1000 });
  readonly day = new Series({ most: 8640, step: 10_000 });
  /** Counts what was added to either. */
  readonly grown = signal(0);

  readonly #told: Told;
  #client: PocClient;
  #run = new AbortController();
  #isDetailed = false;
  /**
   * When the past was last asked for, ms; null: never. By two clocks, of which the greater step counts:
   * one stands still while the machine sleeps, the other may be set.
   */
  #askedPast: { clock: number; date: number } | null = null;
  #lastEvent = 0;
  /** Aborts when the round's state is another: what is asked for is asked for at once. */
  #changed = new AbortController();

  constructor(url: string) {
    this.url = url;
    this.#told = new Told(url);
    this.#client = this.#newClient();
    this.#start();
  }

  /** For commands. */
  get client(): PocClient {
    return this.#client;
  }

  /** Whether finds, events and the past are followed too. */
  follow({ isDetailed }: { isDetailed: boolean }): void {
    if (this.#isDetailed === isDetailed) return;
    this.#isDetailed = isDetailed;
    this.#start();
  }

  /** Whether the node is shown a key. */
  get hasKey(): boolean {
    return recall(KEEPS.keys, this.#keyName) !== null;
  }

  /**
   * Shows the node another key, for as long as this tab is open.
   *
   * @returns why it can be none; null: it is shown
   */
  useKey(key: string): string | null {
    if (!this.#clientWith(key)) return "A key has letters, digits and signs without blanks";
    keep(KEEPS.keys, this.#keyName, key);
    this.tryAgain();
    return null;
  }

  /** After it was refused. */
  tryAgain(): void {
    this.#client = this.#newClient();
    this.info.value = null; // another key may do other things
    this.#start();
  }

  /** Has the node judge a proof. */
  async judge(proof: ProofBatch): Promise<ValidateAnswer> {
    return this.#told.by(ValidateAnswer, await this.#client.validate(proof));
  }

  /** Whether the node would carry out what needs this scope, as far as is known. */
  may(scope: Scope): boolean {
    const connection = this.connection.value;
    if (connection.state === "open") return this.info.value?.scopes.includes(scope) ?? false;
    // Who may not even read has a key that allows one thing: only trying tells what.
    const isBlind = connection.state === "refused" && connection.error.code === "SCOPE_REQUIRED";
    return isBlind && scope === "validate";
  }

  /** Leaves the node alone, and forgets its key. */
  leave(): void {
    this.#run.abort();
    keep(KEEPS.keys, this.#keyName, null);
  }

  get #keyName(): string {
    return `proofmill-key ${this.url}`;
  }

  #newClient(): PocClient {
    const known = this.#clientWith(recall(KEEPS.keys, this.#keyName));
    if (known) return known;
    keep(KEEPS.keys, this.#keyName, null); // what is kept there is no key
    return createPocClient(this.#options);
  }

  /** @returns null for a text that can be no key */
  #clientWith(apiKey: string | null): PocClient | null {
    try {
      return createPocClient({ ...this.#options, ...(apiKey !== null && { apiKey }) });
    } catch {
      return null;
    }
  }

  get #options() {
    return { url: this.url, retries: 0, fetch: fetchBounded };
  }

  #start(): void {
    this.#run.abort();
    this.#run = new AbortController();
    const { signal } = this.#run;
    this.connection.value = { state: "connecting" };
    void this.#again(signal, () => this.#followStatus(signal));
    if (this.#isDetailed) void this.#again(signal, () => this.#followFinds(signal));
    void this.#poll(signal);
  }

  /** Follows until it may not, and again where only time is needed. */
  async #again(signal: AbortSignal, follow: () => Promise<void>): Promise<void> {
    while (!signal.aborted) {
      try {
        await follow();
      } catch (error) {
        if (signal.aborted) return;
        // What the SDK itself cannot take apart is no node's either.
        this.#refuse(
          error instanceof PocClientError ? error : new NotUnderstoodError(this.url, error),
        );
      }
      await pause(AGAIN_MS, signal);
    }
  }

  #refuse(error: PocClientError): void {
    this.connection.value = { state: "refused", error };
    if (FINAL.has(error.code)) this.#run.abort();
  }

  async #followStatus(signal: AbortSignal): Promise<void> {
    const onConnection = (connection: Connection) => {
      if (signal.aborted) return;
      // A refusal is what the loop below throws.
      if (connection.state !== "refused") this.connection.value = connection;
      // A node that was started anew counts its events anew.
      if (connection.state === "open") this.#lastEvent = 0;
    };
    for await (const event of this.#client.watchStatus({ signal, onConnection })) {
      const status = this.#told.by(StatusEvent, event);
      const before = this.status.peek();
      const isOther = before?.state !== status.state || before.round_id !== status.round_id;
      if (isOther) this.changedAt.value = before === null ? null : Date.now();
      this.status.value = status;
      if (isOther && before !== null) this.#changed.abort();
    }
  }

  async #followFinds(signal: AbortSignal): Promise<void> {
    const now = await this.#client.status({ limit: 1 }, { signal });
    const { round_id, total_valid } = this.#told.by(FindsSoFar, now);
    // Of a list that is too long for the page the beginning is not asked for.
    const skipped = total_valid - MOST_FINDS;
    const isLong = round_id !== null && skipped > 0;
    const from = isLong ? { lastEventId: `${round_id}:${skipped}` } : {};
    for await (const each of this.#client.watchValidNonces({ signal, ...from })) {
      const event = this.#told.by(ValidNoncesEvent, each);
      if (event.type === "round") this.finds.begin(event);
      else this.finds.add(event);
    }
  }

  async #poll(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#changed = new AbortController();
      if (!document.hidden) {
        const began = performance.now();
        try {
          this.info.value = this.#told.by(NodeInfo, await this.#client.nodeInfo({ signal }));
          this.lag.value = performance.now() - began;
          await (this.#isDetailed ? this.#askPast(signal) : this.#askNow(signal));
        } catch (error) {
          if (!signal.aborted) this.lag.value = this.rateNow.value = null;
          // Whatever else it is, the watches tell of it.
          if (!signal.aborted && error instanceof NotUnderstoodError) this.#refuse(error);
        }
      }
      await pause(POLL_MS, AbortSignal.any([signal, this.#changed.signal]));
    }
  }

  /** Of a node that is one of a list. */
  async #askNow(signal: AbortSignal): Promise<void> {
    const past = await this.#client.nodeHistory({ seconds: OVERLAP }, { signal });
    const latest = new Series({ most: OVERLAP, step: 1000 });
    latest.add(this.#told.by(NodeHistory, past).ten_minutes);
    this.rateNow.value = latest.meanOfNow();
  }

  async #askPast(signal: AbortSignal): Promise<void> {
    const now = { clock: performance.now(), date: Date.now() };
    const asked = this.#askedPast;
    const passed = asked && Math.max(now.clock - asked.clock, now.date - asked.date);
    const page = passed === null ? undefined : { seconds: Math.ceil(passed / 1000) + OVERLAP };
    const past = await this.#client.nodeHistory(page, { signal });
    const { ten_minutes, day } = this.#told.by(NodeHistory, past);
    this.#askedPast = now;
    const newest = ten_minutes.at.at(-1) ?? Number.POSITIVE_INFINITY;
    if (newest < (this.minutes.at.at(-1) ?? 0) - SET_BACK_MS) {
      this.minutes.clear();
      this.day.clear();
      this.#askedPast = null; // all of it is dated anew
    }
    this.minutes.add(ten_minutes);
    this.day.add(day);
    this.grown.value++;
    this.rateNow.value = this.minutes.meanOfNow();

    const since = this.#lastEvent;
    const told = await this.#client.nodeEvents({ since }, { signal });
    const { events } = this.#told.by(NodeEvents, told);
    const known = since === 0 ? [] : this.events.peek();
    if (since === 0 || events.length > 0) {
      this.events.value = [...known, ...events].slice(-MOST_EVENTS);
    }
    // Unless the node was started anew meanwhile.
    if (this.#lastEvent === since) this.#lastEvent = this.events.peek().at(-1)?.id ?? 0;
  }
}

function roundOf(status: StatusEvent | null, info: NodeInfo | null): ShownRound | null {
  if (!status) return null;
  // A status names no round but one of distances.
  const artifacts = status.round_id === null ? (info?.artifacts.round ?? null) : null;
  if (!artifacts) return { ...status, proves: status.round_id === null ? null : "distances" };
  const { artifacts_per_minute, total_artifacts, ...round } = artifacts;
  const rate_per_second = artifacts_per_minute / 60;
  return { ...round, state: status.state, r_target: null, rate_per_second, proves: "artifacts" };
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, milliseconds);
    signal.addEventListener("abort", end);
    if (signal.aborted) end();
  });
}
