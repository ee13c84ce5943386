/** What answers as a node does, and says whatever a test wants: pages of all origins may ask it. */
import { createServer, type ServerResponse } from "node:http";
import { onTestFinished } from "vitest";
import { type WebSocket, WebSocketServer } from "ws";
import { listen } from "../helpers.ts";

export interface HostileNodeOptions {
  /** By procedure, e.g. `node.info`: what a query is answered, or what answers it. */
  answers: Readonly<Record<string, unknown>>;
  /** By procedure: events of a subscription, as many as it gives. */
  streams?: Readonly<Record<string, (tell: Tell) => void>>;
  /** Instead of taking the subscriptions of a connection. */
  onSocket?: (socket: WebSocket) => void;
}

/** Sends an event; false: nobody follows any more. */
export type Tell = (data: unknown, id?: string) => boolean;

export interface HostileNode {
  readonly url: string;
  /** WebSockets that were made so far. */
  readonly sockets: () => number;
  /** How often this was asked for, e.g. `node.info`. */
  readonly asked: (procedure: string) => number;
}

export async function startHostileNode(options: HostileNodeOptions): Promise<HostileNode> {
  const { answers, streams = {}, onSocket } = options;
  const questions = new Map<string, number>();
  const asked = (procedure: string) => questions.get(procedure) ?? 0;
  const server = createServer((request, response) => {
    response.setHeader("access-control-allow-origin", "*");
    response.setHeader("access-control-allow-headers", "*");
    response.setHeader("content-type", "application/json");
    const procedure = /^\/trpc\/([\w.]+)/.exec(request.url ?? "")?.[1] ?? "";
    if (request.method === "OPTIONS") return response.end();
    questions.set(procedure, asked(procedure) + 1);
    const answer = answers[procedure] ?? null;
    if (typeof answer === "function") return (answer as (to: ServerResponse) => void)(response);
    return response.end(JSON.stringify({ result: { data: answer } }));
  });
  let sockets = 0;
  const door = new WebSocketServer({ server });
  door.on("connection", (socket) => {
    sockets++;
    socket.on("error", () => {});
    if (onSocket) return onSocket(socket);
    const followed = new Set<unknown>();
    socket.on("message", (text) => {
      if (String(text) === "PING") return socket.send("PONG");
      const { id, method, params } = JSON.parse(String(text));
      if (method === "subscription.stop") followed.delete(id);
      if (method !== "subscription") return;
      socket.send(JSON.stringify({ id, result: { type: "started" } }));
      followed.add(id);
      let many = 0;
      streams[params.path]?.((data, eventId = `${++many}`) => {
        if (socket.readyState !== socket.OPEN || !followed.has(id)) return false;
        const result = { type: "data", id: eventId, data: { id: eventId, data } };
        socket.send(JSON.stringify({ id, result }));
        return true;
      });
    });
  });
  onTestFinished(() => {
    for (const socket of door.clients) socket.terminate();
    door.close();
  });
  return { url: await listen(server), sockets: () => sockets, asked };
}
