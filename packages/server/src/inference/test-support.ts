/** An upstream that answers as a test tells it, and a server in front of it. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";
import { type TestServer, testServer } from "../test-support.ts";

export type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** A server in another place, which answers as it is told; it counts its open sockets. */
export async function upstream(answer: Answer) {
  const server = createServer(answer).listen(0, "127.0.0.1");
  await once(server, "listening");
  const sockets = new Set<object>();
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { server, sockets, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

export async function listening(
  options: NonNullable<Parameters<typeof testServer>[0]>,
): Promise<TestServer & { url: string }> {
  const server = await testServer(options);
  const url = await server.app.listen({ host: "127.0.0.1", port: 0 });
  return { ...server, url };
}

export const chunk = (n: number) =>
  `data: ${JSON.stringify({
    ...{ id: "c1", object: "chat.completion.chunk", created: 1, model: "m" },
    choices: [{ index: 0, delta: { content: `${n} ` }, finish_reason: null }],
  })}\n\n`;

/** A chat completion of `count` events, one every `ms`. */
export const chat =
  (count: number, ms: number): Answer =>
  (_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });
    let n = 0;
    const timer = setInterval(() => {
      if (n < count) response.write(chunk(n++));
      else {
        clearInterval(timer);
        response.end("data: [DONE]\n\n");
      }
    }, ms);
    response.on("close", () => clearInterval(timer));
  };
