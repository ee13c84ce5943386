/** Bare connections to a server of a test. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { onTestFinished } from "vitest";
import { type TestServer, testServer } from "../test-support.ts";

export interface Listening extends TestServer {
  port: number;
  /** Opens a connection; `from` is a loopback address of ours. */
  open(from?: string): Promise<Bare>;
  /** Connections that the server has. */
  connections(): Promise<number>;
}

export interface Bare {
  readonly socket: Socket;
  /** What has come. */
  text(): string;
  /** Resolves when the server has closed, or reset, the connection. */
  readonly closed: Promise<void>;
}

export async function listening(
  options: Parameters<typeof testServer>[0] = {},
): Promise<Listening> {
  const server = await testServer(options);
  await server.app.listen({ port: 0, host: "127.0.0.1" });
  const { port } = server.app.server.address() as { port: number };
  return {
    ...server,
    port,
    connections: () =>
      new Promise((resolve, reject) =>
        server.app.server.getConnections((error, count) =>
          error ? reject(error) : resolve(count),
        ),
      ),
    async open(from = "127.0.0.1") {
      // A client that keeps its half open whatever the server does.
      const socket = connect({ port, host: "127.0.0.1", localAddress: from, allowHalfOpen: true });
      onTestFinished(() => void socket.destroy());
      let text = "";
      socket.on("data", (chunk) => {
        text += chunk;
      });
      socket.on("error", () => {});
      const closed = new Promise<void>((resolve) => {
        socket.once("end", resolve);
        socket.once("close", () => resolve());
      });
      await once(socket, "connect");
      return { socket, text: () => text, closed };
    },
  };
}
