/** How a connection ends whose other side goes on sending. */
import type { Socket } from "node:net";

/** Milliseconds in which the other side may take the last answer and close; then it is closed anyway. */
export const LINGER_MS = 1000;

/**
 * Reads no more of a connection, and closes it a little later. Closed at once, with something unread,
 * it would be reset: the last answer may be lost then, and whoever sends without end would send the
 * next megabytes over the next connection.
 */
export function letGo(socket: Socket): void {
  socket.on("error", () => {}); // whoever listened before may have gone already
  socket.pause();
  const linger = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once("close", () => clearTimeout(linger));
}
