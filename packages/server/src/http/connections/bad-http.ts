/** Answers what Node cannot parse and bodies that come too slowly, and closes their connections. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { LINGER_MS } from "./let-go.ts";

/** Bytes of what still comes that are read: so many are a long request's rest. */
const LINGER_BYTES = 256 * 1024;

const cut = new WeakSet<Socket>();

/**
 * A server's `clientError`: what Node's HTTP parser refuses, and headers that do not come. Who has
 * ended the connection in the middle of a request waits for no answer.
 *
 * @param unanswered the connection's requests whose answers are not out yet
 */
export function answerBadHttp(
  error: NodeJS.ErrnoException,
  socket: Socket,
  unanswered: readonly ServerResponse[],
): void {
  if (cut.has(socket)) return;
  const isGone = error.code === "ECONNRESET" || error.code === "HPE_INVALID_EOF_STATE";
  if (isGone || !socket.writable || unanswered.length > 0) socket.destroy();
  else if (error.code === "ERR_HTTP_REQUEST_TIMEOUT") cutOff(socket, 408, "Request Timeout");
  else if (error.code === "HPE_HEADER_OVERFLOW") {
    cutOff(socket, 431, "Request Header Fields Too Large");
  } else cutOff(socket, 400, "Bad Request");
}

/** Ends a request whose body comes too slowly. */
export function answerSlowBody(
  { socket }: IncomingMessage,
  unanswered: readonly ServerResponse[],
): void {
  const [first, ...others] = unanswered;
  if (others.length > 0 || first?.headersSent || !socket.writable) socket.destroy();
  else cutOff(socket, 408, "Request Timeout");
}

/**
 * Answers and closes a connection. The other side may keep its half open, or read nothing: after a
 * while the connection is destroyed. When much comes all the same, no more of it is read till then.
 *
 * @param beside what the answer has besides `detail`, in ASCII
 */
export function cutOff(socket: Socket, status: number, detail: string, beside: object = {}): void {
  cut.add(socket);
  const body = JSON.stringify({ detail, ...beside });
  socket.end(
    `HTTP/1.1 ${status} ${detail}\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
  );
  // What still comes is thrown away: unread, it would hide the connection's end.
  let left = LINGER_BYTES;
  socket.on("data", ({ length }: Buffer) => {
    left -= length;
    if (left < 0) socket.pause();
  });
  socket.resume();
  const linger = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once("close", () => clearTimeout(linger));
}
