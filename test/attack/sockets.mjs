// What attacks are made of: bare sockets that write and never read.
import { once } from "node:events";
import { connect } from "node:net";
import { networkInterfaces } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";

/**
 * An address of this machine that is not loopback's, for whom limits of an address do not hold;
 * undefined where the machine has none.
 */
export function strangersAddress() {
  const all = Object.values(networkInterfaces()).flat();
  return all.find(({ family, internal }) => family === "IPv4" && !internal)?.address;
}

/**
 * Connects, writes, and never reads an answer.
 *
 * @param {{ host: string, port: number, localAddress?: string }} target
 * @param {string | Buffer} bytes
 * @returns {Promise<import("node:net").Socket>} the socket once it is connected; paused
 */
export async function writeOnly({ host, port, localAddress }, bytes) {
  const socket = connect({ host, port, localAddress });
  socket.pause();
  socket.on("error", () => {});
  socket.write(bytes);
  await Promise.race([once(socket, "connect"), once(socket, "close")]);
  return socket;
}

/**
 * So many attackers at the same time, each of whom begins anew after `milliseconds`, for ever.
 *
 * @param {{ count: number, milliseconds: number }} options
 * @param {(number: number) => Promise<import("node:net").Socket>} open
 */
export async function again({ count, milliseconds }, open) {
  await Promise.all(
    Array.from({ length: count }, async (_, number) => {
      for (;;) {
        const socket = await open(number);
        await sleep(milliseconds);
        socket.destroy();
      }
    }),
  );
}

/**
 * As many copies of a request without a body as fit into so many bytes.
 *
 * @param {string} target e.g. `/health`
 * @param {{ bytes?: number, headers?: string }} [options] `headers` as lines that end in CRLF
 */
export function pipelined(target, { bytes = 65_536, headers = "" } = {}) {
  const request = `GET ${target} HTTP/1.1\r\nHost: a\r\n${headers}\r\n`;
  return request.repeat(Math.floor(bytes / request.length));
}

/** Of a WebSocket: what comes before its first message. */
export const HANDSHAKE =
  "GET /trpc HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";

/**
 * A POST's head, to be followed by so many bytes of JSON.
 *
 * @param {string} path
 * @param {number} length
 */
export function postHead(path, length) {
  return (
    `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n` +
    `Content-Length: ${length}\r\n\r\n`
  );
}

/** A whole POST. */
export function post(path, body) {
  const text = JSON.stringify(body);
  return postHead(path, Buffer.byteLength(text)) + text;
}

/**
 * A WebSocket's beginning and its first messages, to be written at once: whoever attacks does not
 * wait for the handshake's answer.
 *
 * @param {readonly object[]} messages
 */
export function webSocketBytes(messages) {
  return Buffer.concat([Buffer.from(HANDSHAKE), ...messages.map(frame)]);
}

/** A text frame, masked with zeros, which leave it as it is (RFC 6455 §5.2). */
export function frame(message) {
  const payload = Buffer.from(JSON.stringify(message));
  const size = payload.length;
  const header =
    size < 126
      ? [0x81, 0x80 | size]
      : size < 65_536
        ? [0x81, 0x80 | 126, size >> 8, size & 255]
        : [0x81, 0x80 | 127, 0, 0, 0, 0, ...[24, 16, 8, 0].map((bits) => (size >> bits) & 255)];
  return Buffer.concat([Buffer.from([...header, 0, 0, 0, 0]), payload]);
}
