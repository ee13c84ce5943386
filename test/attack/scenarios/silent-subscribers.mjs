// WebSockets that subscribe to everything, from many places of the list, and never read.
import { again, webSocketBytes, writeOnly } from "../sockets.mjs";

const SOCKETS = 40;
const SUBSCRIPTIONS = 64;

export const node = { finds: 23_500 };
/** Longer than a socket may take nothing. */
export const seconds = 45;

export const attack = (target) =>
  again({ count: SOCKETS, milliseconds: 60_000 }, () =>
    writeOnly(
      target,
      webSocketBytes(
        Array.from({ length: SUBSCRIPTIONS }, (_, id) => ({
          id,
          method: "subscription",
          params: { path: "pow.onValidNonces" },
        })),
      ),
    ),
  );
