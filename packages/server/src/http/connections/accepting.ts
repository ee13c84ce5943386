/** How a server tells of connections, with TLS or without. */
import type { Server } from "node:http";
import type { Socket } from "node:net";
import { Server as TlsServer } from "node:tls";

/** The event with a connection that is ready for HTTP: under TLS, after its handshake. */
export function connectionEvent(server: Server): "connection" | "secureConnection" {
  return isTls(server) ? "secureConnection" : "connection";
}

/** Whether connections begin with a handshake; "connection" then tells of those that come. */
export function isTls(server: Server): boolean {
  return server instanceof TlsServer;
}

/**
 * Of those who listen for a server's connections already, under TLS too, nobody hears of one that is
 * not admitted: it is closed, and has cost little.
 */
export function standBefore(server: Server, admits: (socket: Socket) => boolean): void {
  const others = server.listeners("connection") as ((socket: Socket) => void)[];
  server.removeAllListeners("connection");
  server.on("connection", (socket: Socket) => {
    if (!admits(socket)) socket.destroy();
    else for (const other of others) other.call(server, socket);
  });
}
