/** Whether the one who asked is still there. */
import type { Socket } from "node:net";

const signals = new WeakMap<Socket, AbortSignal>();

/** Aborts when the connection has ended and nobody gets an answer; its requests share the signal. */
export function callerGone(socket: Socket): AbortSignal {
  const known = signals.get(socket);
  if (known) return known;
  const controller = new AbortController();
  if (socket.destroyed) controller.abort();
  else socket.once("close", () => controller.abort());
  signals.set(socket, controller.signal);
  return controller.signal;
}
