/** Subscriptions as async iterables that come back by themselves and give each find once. */

import { pauseAfter } from "@proofmill/core/backoff";
import { createTRPCUntypedClient, TRPCClientError, wsLink } from "@trpc/client";
import { type Endpoint, pause, toClientError } from "./calls.ts";
import type { Connection } from "./connection.ts";
import type { PocClientError } from "./errors.ts";
import { BACKOFF, openSocket } from "./socket.ts";
import type { ArtifactEvent, Identified, ValidNoncesEvent } from "./types.ts";

/** Events that may wait for a slow reader here; more wait at the node. */
const MAX_WAITING = 64;

export interface WatchOptions {
  /** Ends the iteration. */
  signal?: AbortSignal | undefined;
  /**
   * Hears what becomes of the connection: `connecting`, `open`, `lost` with the reason, and `refused`
   * with what the iteration then throws. It must not throw.
   */
  onConnection?: ((connection: Connection) => void) | undefined;
}

/** An event as it comes, tracked by tRPC. */
interface Tracked {
  readonly id: string;
  readonly data: object;
}

/**
 * Follows a subscription, over as many connections as it takes. It ends when `signal` aborts and
 * throws only what asking again would not mend.
 */
export async function* follow(
  endpoint: Endpoint,
  options: WatchOptions & { procedure: string; lastEventId?: string | undefined },
): AsyncGenerator<Identified<object>, void> {
  const { procedure, signal, onConnection } = options;
  let wake = () => {};
  let refused: PocClientError | null = null;
  const socket = openSocket(endpoint, (connection) => {
    if (signal?.aborted) return;
    if (connection.state === "refused") refused = connection.error;
    wake();
    onConnection?.(connection);
  });
  const client = createTRPCUntypedClient({ links: [wsLink({ client: socket.client })] });
  let { lastEventId } = options;
  let failures = 0;
  try {
    while (!signal?.aborted) {
      const waiting: Tracked[] = [];
      let ended: "full" | "stopped" | PocClientError | null = null;
      const subscription = client.subscription(
        procedure,
        { lastEventId },
        {
          onData: (event) => {
            socket.isOfUse();
            if (ended) return;
            waiting.push(event as Tracked);
            // The rest waits at the node, which keeps it anyway.
            if (waiting.length >= MAX_WAITING) ended = "full";
            wake();
          },
          onError: (error: unknown) => {
            ended ??= isAnswer(error) ? toClientError(error, endpoint.url) : "stopped";
            wake();
          },
          onStopped: () => {
            ended ??= "stopped";
            wake();
          },
          onComplete: () => {
            ended ??= "stopped";
            wake();
          },
        },
      );
      const onAbort = () => wake();
      signal?.addEventListener("abort", onAbort);
      try {
        while (!signal?.aborted) {
          const event = waiting.shift();
          if (event) {
            lastEventId = event.id;
            failures = 0;
            yield { ...event.data, id: event.id };
          } else if (ended || refused) {
            break;
          } else {
            await new Promise<void>((resolve) => {
              wake = resolve;
            });
          }
        }
      } finally {
        signal?.removeEventListener("abort", onAbort);
        subscription.unsubscribe();
      }
      // Narrowed by the assignments above; the callbacks are out of the compiler's sight.
      const end = (refused ?? ended) as "full" | "stopped" | PocClientError | null;
      if (signal?.aborted) return;
      if (end instanceof Error) throw end;
      if (end === "stopped") await pause(pauseAfter(++failures, BACKOFF), signal).catch(() => {});
    }
  } finally {
    await socket.client.close();
  }
}

/** Whether the node has answered; anything else is a connection that will be made again. */
function isAnswer(error: unknown): boolean {
  return error instanceof TRPCClientError && error.data !== undefined && error.data !== null;
}

/** What tells of rounds and their finds. */
export type FindsEvent = ValidNoncesEvent | ArtifactEvent;

/**
 * Each find once: a connection that is replaced while it works may bring what the new one brings
 * again.
 */
export async function* eachOnce(
  events: AsyncIterable<FindsEvent>,
  lastEventId: string | undefined,
): AsyncGenerator<FindsEvent, void> {
  let seen = readId(lastEventId);
  for await (const event of events) {
    const isKnownRound = seen?.round_id === event.round_id;
    if (event.type === "round") {
      if (isKnownRound) continue;
      seen = { round_id: event.round_id, index: 0 };
      yield event;
      continue;
    }
    // A newer node tells of more than this version knows.
    if (event.type !== "nonces" && event.type !== "artifacts") continue;
    const known = isKnownRound ? (seen?.index ?? 0) - event.from : 0;
    if (known >= event.nonces.length) continue;
    seen = { round_id: event.round_id, index: event.from + event.nonces.length };
    yield known <= 0 ? event : without(event, known);
  }
}

/** An event without its first finds: its lists have an item for each. */
function without<Event extends FindsEvent & { from: number }>(event: Event, known: number): Event {
  const fields = Object.entries(event).map(([name, value]) => [
    name,
    Array.isArray(value) ? value.slice(known) : value,
  ]);
  return { ...Object.fromEntries(fields), from: event.from + known };
}

function readId(id: string | undefined): { round_id: string; index: number } | null {
  const [round_id, index] = id?.split(":") ?? [];
  return round_id ? { round_id, index: Number(index) } : null;
}
