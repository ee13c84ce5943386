// WebSockets that ask for the whole list, for little and for commands, again and again, and never read.
import { again, webSocketBytes, writeOnly } from "../sockets.mjs";

const CALLS = [
  { method: "query", params: { path: "pow.status" } },
  { method: "query", params: { path: "node.info" } },
  { method: "mutation", params: { path: "pow.phaseGenerate" } },
  { method: "query", params: { path: "nothing" } },
];

export const node = { finds: 23_500 };

export const attack = (target) =>
  again({ count: 40, milliseconds: 2000 }, (number) => {
    const call = CALLS[number % CALLS.length];
    const messages = Array.from({ length: 1000 }, (_, id) => ({ id, ...call }));
    return writeOnly(target, webSocketBytes(messages));
  });
