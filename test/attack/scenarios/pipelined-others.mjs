// Pipelined requests of every other kind, whose answers are never read; each connection asks for one.
import { again, pipelined, writeOnly } from "../sockets.mjs";

const TARGETS = [
  "/openapi.json",
  "/docs",
  "/trpc/pow.onValidNonces",
  "/trpc/pow.onStatus",
  "/api/v1/pow/status?since=1&limit=23000",
  "/trpc/pow.status?input=%7B%22since%22%3A2%7D",
  "/trpc/node.info,pow.status?batch=1",
  "/nothing",
];

export const node = { finds: 23_500 };

export const attack = (target) =>
  again({ count: TARGETS.length, milliseconds: 1000 }, (number) =>
    writeOnly(target, pipelined(TARGETS[number])),
  );
