/** Whether the one who asked is still there. */
import type { Socket } from "node:net";

const signals = new WeakMap<Socket, AbortSignal>();

/** Aborts when a connection has ended: whoever asked over it gets no answer. One for all its requests. */
export function callerGone(socket: Socket): AbortSignal {
  const known = signals.get(socket);
  if (known) return known;
  const controller = new AbortController();
  if (socket.destroyed) controller.abort();
  else socket.once("close", () => controller.abort());
  signals.set(socket, controller.signal);
  return controller.signal;
}
