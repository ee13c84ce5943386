/** How a server tells of connections, with TLS or without. */
import type { Server } from "node:http";
import { Server as TlsServer } from "node:tls";

/** The event with a connection that is ready for HTTP: under TLS, after its handshake. */
export function connectionEvent(server: Server): "connection" | "secureConnection" {
  return isTls(server) ? "secureConnection" : "connection";
}

/** Whether connections begin with a handshake; "connection" then tells of those that come. */
export function isTls(server: Server): boolean {
  return server instanceof TlsServer;
}
