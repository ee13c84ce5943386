/** WebSocket messages as text; an event that goes to many is written once. */
import type { Encoder } from "@trpc/server/adapters/ws";
import { MAX_REFUSED } from "../../http/bodies/bodies.ts";

/** Subscribers who keep up get the very same event, so its text is kept as long as it is. */
const texts = new WeakMap<object, string>();

/** A find of a tracked subscription, as tRPC frames it. */
interface TrackedMessage {
  readonly id: number | string;
  readonly jsonrpc?: "2.0";
  readonly result: {
    readonly type: "data";
    readonly id: string;
    readonly data: { readonly id: string; readonly data: object };
  };
}

/** tRPC's JSON encoder, with the numbers of an event written once instead of once per subscriber. */
export const sharedEventEncoder: Encoder = {
  encode(message) {
    if (!isTracked(message)) return JSON.stringify(message);
    const { id, jsonrpc, result } = message;
    const event = result.data.data;
    let text = texts.get(event);
    if (text === undefined) {
      text = JSON.stringify(event);
      texts.set(event, text);
    }
    const eventId = JSON.stringify(result.id);
    return (
      `{"id":${JSON.stringify(id)},${jsonrpc ? `"jsonrpc":"${jsonrpc}",` : ""}` +
      `"result":{"type":"data","id":${eventId},"data":{"id":${eventId},"data":${text}}}}`
    );
  },
  decode: (data) => {
    const message: unknown = JSON.parse(String(data));
    // Each call of a message with too many is refused with an answer of its own.
    return Array.isArray(message) ? message.slice(0, MAX_REFUSED) : message;
  },
};

function isTracked(message: unknown): message is TrackedMessage {
  const { result } = message as Partial<TrackedMessage>;
  if (result?.type !== "data" || typeof result.id !== "string") return false;
  const { data } = result;
  return typeof data?.data === "object" && data.data !== null && data.id === result.id;
}
