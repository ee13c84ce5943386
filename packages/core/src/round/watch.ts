/** What subscribers see of a node: docs/protocol.md §5 as async generators, read by cursor. */

import type { RoundBook } from "../proof/scheme.ts";
import type { Pulse } from "../util/pulse.ts";
import { PocError } from "../wire/errors.ts";
import type { Ledger } from "./ledger.ts";

/** Finds that one event has at most: a subscriber who comes late is caught up in such steps. */
const MAX_EVENT_NONCES = 1024;

/** A round as subscribers read it. */
export interface ReadableRound {
  readonly ledger: Ledger;
  /** Whether all its results are stored: once another round has begun, no find will follow. */
  readonly isSettled: boolean;
}

/** An event under the id that a client names to go on after it. */
export interface Tracked<T> {
  readonly id: string;
  readonly event: T;
}

export interface WatchOptions {
  /** Ends the stream. */
  signal: AbortSignal;
  /** Resolves when the reader can take more. Until then nothing is read for it. */
  writable?: () => Promise<void>;
  /** Awaited between the events of a long past, so that other callers get their turn. */
  nextTurn?: () => Promise<void>;
}

/** What a scheme tells of its rounds and finds. */
export interface FindEvents<Event> {
  /** The round begins. */
  round(book: RoundBook): Event;
  /** Finds of the round, from the `from`-th on, up to the `to`-th. */
  finds(book: RoundBook, from: number, to: number): Event;
}

/** Everything up to here has been seen. */
interface Cursor {
  readonly round_id: string;
  /** Finds seen. */
  readonly index: number;
}

/**
 * The finds of this round and of those that follow. Nothing is queued for a subscriber, who is only
 * a cursor into the lists: one that reads slowly gets more finds in each event.
 *
 * @param source.rounds the rounds that can be read, oldest first
 * @throws PocError INVALID_BODY for a `lastEventId` that is none
 */
export async function* watchFinds<Event>(
  source: { rounds: () => readonly ReadableRound[]; pulse: Pulse; events: FindEvents<Event> },
  options: WatchOptions & { lastEventId?: string | undefined },
): AsyncGenerator<Tracked<Event>, void> {
  const { signal, writable, nextTurn, lastEventId } = options;
  const { pulse, events } = source;
  let cursor = lastEventId === undefined ? null : parseEventId(lastEventId);
  while (!signal.aborted) {
    await writable?.();
    if (signal.aborted) return;
    const seen = pulse.beats;
    const step = nextStep(source.rounds(), cursor);
    if (!step) {
      await pulse.after(seen, signal);
      continue;
    }
    cursor = step.cursor;
    yield { id: `${cursor.round_id}:${cursor.index}`, event: eventOf(step, events) };
    if (step.isAll) await pulse.after(seen, signal);
    else await nextTurn?.();
  }
}

interface Step {
  readonly round: Ledger;
  /** The index of the first find that is told; null: the round is announced. */
  readonly from: number | null;
  readonly cursor: Cursor;
  /** Whether there was nothing more to read at that moment. */
  readonly isAll: boolean;
}

function nextStep(rounds: readonly ReadableRound[], cursor: Cursor | null): Step | null {
  const current = rounds.at(-1);
  if (!current) return null;
  if (!cursor) return announce(current);
  const place = rounds.findIndex(({ ledger }) => ledger.round_id === cursor.round_id);
  const round = rounds[place];
  if (!round) {
    // That round is not kept any more. A later round has a greater id, since ids are ULIDs.
    return announce(rounds.find(({ ledger }) => ledger.round_id > cursor.round_id) ?? current);
  }
  const following = rounds[place + 1];
  if (cursor.index < round.ledger.found) {
    const step = read(round.ledger, cursor.index);
    return following ? { ...step, isAll: false } : step;
  }
  return following && round.isSettled ? announce(following) : null;
}

function announce({ ledger }: ReadableRound): Step {
  const cursor = { round_id: ledger.round_id, index: 0 };
  return { round: ledger, from: null, cursor, isAll: false };
}

function read(ledger: Ledger, from: number): Step {
  // For all who are behind, events end at the same places, so that they can share them.
  const end = (Math.floor(from / MAX_EVENT_NONCES) + 1) * MAX_EVENT_NONCES;
  const index = ledger.found - from <= MAX_EVENT_NONCES ? ledger.found : end;
  const cursor = { round_id: ledger.round_id, index };
  return { round: ledger, from, cursor, isAll: index === ledger.found };
}

/** The last event with finds of each round: all subscribers who keep up get this same object. */
const lastTold = new WeakMap<
  Ledger,
  { events: object; from: number; to: number; event: unknown }
>();

function eventOf<Event>({ round, from, cursor }: Step, events: FindEvents<Event>): Event {
  if (from === null) return events.round(round);
  const to = cursor.index;
  const last = lastTold.get(round);
  if (last?.events === events && last.from === from && last.to === to) {
    return last.event as Event; // these events made it
  }
  const event = events.finds(round, from, to);
  lastTold.set(round, { events, from, to, event });
  return event;
}

/** `<round_id>:<index after the last>`. */
function parseEventId(id: string): Cursor {
  const match = /^([0-9A-Za-z_-]{1,64}):(\d{1,15})$/.exec(id);
  if (match?.[1] && match[2]) return { round_id: match[1], index: Number(match[2]) };
  const msg = "Value error, an event id is a round's id, a colon and an index";
  const detail = [
    { type: "value_error", loc: ["body", "lastEventId"], msg, input: id.slice(0, 200) },
  ];
  throw new PocError("INVALID_BODY", { detail });
}

/** What the node says of itself: at once, and whenever it has changed. */
export async function* watchStatus<Event>(
  source: { status: () => Event; pulse: Pulse },
  options: WatchOptions,
): AsyncGenerator<Tracked<Event>, void> {
  const { signal, writable } = options;
  let said = "";
  for (let count = 0; !signal.aborted; ) {
    await writable?.();
    if (signal.aborted) return;
    const seen = source.pulse.beats;
    const event = source.status();
    const text = JSON.stringify(event);
    if (text !== said) {
      said = text;
      yield { id: String(count++), event };
    }
    await source.pulse.after(seen, signal);
  }
}
