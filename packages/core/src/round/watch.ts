/** What subscribers see of a node: docs/protocol.md §5 as async generators, read by cursor. */

import type { Pulse } from "../util/pulse.ts";
import { PocError } from "../wire/errors.ts";
import type { InferenceCounters, Status, StatusEvent, ValidNoncesEvent } from "../wire/schemas.ts";
import type { Ledger } from "./ledger.ts";

/** Finds that one event has at most: a subscriber who comes late is caught up in such steps. */
const MAX_EVENT_NONCES = 1024;

/** A round as subscribers read it. */
export interface ReadableRound {
  readonly ledger: Ledger;
  /** Whether more finds may still be stored, although another round has begun. */
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
  /** Resolves when the one who reads can take more; the finds wait where they are. */
  writable?: () => Promise<void>;
  /** Resolves when it may go on with a long past, which would hold up what others ask. */
  nextTurn?: () => Promise<void>;
}

/** Everything up to here has been seen. */
interface Cursor {
  readonly round_id: string;
  /** Finds seen. */
  readonly index: number;
}

/**
 * The finds of this round and of those that follow. It holds a cursor and nothing else: who reads
 * slowly reads more at once.
 *
 * @param source.rounds the rounds that can be read, oldest first
 * @throws PocError INVALID_BODY for a `lastEventId` that is none
 */
export async function* watchValidNonces(
  source: { rounds: () => readonly ReadableRound[]; pulse: Pulse },
  options: WatchOptions & { lastEventId?: string | undefined },
): AsyncGenerator<Tracked<ValidNoncesEvent>, void> {
  const { signal, writable, nextTurn, lastEventId } = options;
  const { pulse } = source;
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
    yield { id: `${cursor.round_id}:${cursor.index}`, event: step.event };
    if (step.isAll) await pulse.after(seen, signal);
    else await nextTurn?.();
  }
}

interface Step {
  readonly cursor: Cursor;
  readonly event: ValidNoncesEvent;
  /** Whether there was no more to say just then. */
  readonly isAll: boolean;
}

function nextStep(rounds: readonly ReadableRound[], cursor: Cursor | null): Step | null {
  const current = rounds.at(-1);
  if (!current) return null;
  if (!cursor) return announce(current);
  const place = rounds.findIndex(({ ledger }) => ledger.round_id === cursor.round_id);
  const round = rounds[place];
  if (!round) {
    // Gone, or of a store that is no more. Ids are ULIDs: what is later is greater.
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
  const { round_id, config } = ledger;
  const { block_hash, block_height, r_target } = config;
  return {
    cursor: { round_id, index: 0 },
    event: { type: "round", round_id, block_hash, block_height, r_target },
    isAll: false,
  };
}

/** The last event of each round: subscribers who keep up all read the same one. */
const lastRead = new WeakMap<Ledger, Step>();

function read(ledger: Ledger, from: number): Step {
  const last = lastRead.get(ledger);
  // Steps end at the same places for all who are behind, so that they can share them.
  const end = (Math.floor(from / MAX_EVENT_NONCES) + 1) * MAX_EVENT_NONCES;
  const index = ledger.found - from <= MAX_EVENT_NONCES ? ledger.found : end;
  if (last?.event.type === "nonces" && last.event.from === from && last.cursor.index === index) {
    return last;
  }
  const { round_id, config } = ledger;
  const step: Step = {
    cursor: { round_id, index },
    event: {
      type: "nonces",
      round_id,
      block_hash: config.block_hash,
      from,
      ...ledger.finds({ since: from, limit: index - from }),
    },
    isAll: index === ledger.found,
  };
  lastRead.set(ledger, step);
  return step;
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

/** The node's Status without its lists: at once, and whenever it has changed. */
export async function* watchStatus(
  source: { status: () => Status & InferenceCounters; pulse: Pulse },
  options: WatchOptions,
): AsyncGenerator<Tracked<StatusEvent>, void> {
  const { signal, writable } = options;
  let said = "";
  for (let count = 0; !signal.aborted; ) {
    await writable?.();
    if (signal.aborted) return;
    const seen = source.pulse.beats;
    const { valid_nonces, valid_distances, ...event } = source.status();
    const text = JSON.stringify(event);
    if (text !== said) {
      said = text;
      yield { id: String(count++), event };
    }
    await source.pulse.after(seen, signal);
  }
}
