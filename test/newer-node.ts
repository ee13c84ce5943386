/** A node of a later version, as older callers meet it: a node behind a proxy that adds what there is not yet. */
import { createServer, type IncomingMessage } from "node:http";
import { buffer } from "node:stream/consumers";
import { onTestFinished } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { type FakeNode, type FakeNodeOptions, startFakeNode } from "./fake-node.ts";
import { listen } from "./helpers.ts";

/** Fields whose words stand in a list. */
const WORDS = new Set(["state", "status", "kind", "code", "gate"]);
/** What its words have at their end. */
export const NEWER = "_anew";

/** The same with a further field in each object, and with words that nobody knows. */
function newer(value: unknown, name = ""): unknown {
  if (Array.isArray(value)) {
    return name === "scopes" ? [...value, "future"] : value.map((each) => newer(each, name));
  }
  // What is always said, `OK`, is no list of words.
  const isWord = WORDS.has(name) && value !== "OK";
  if (typeof value === "string") return isWord ? `${value}${NEWER}` : value;
  // What is counted by name has names that nobody lists.
  if (typeof value !== "object" || value === null || name === "failures") return value;
  const fields = Object.entries(value).map(([key, each]) => [key, newer(each, key)]);
  return { ...Object.fromEntries(fields), further: { of_a_newer: ["node"] } };
}

export interface NewerNode {
  /** Of the proxy. */
  readonly url: string;
  readonly node: FakeNode;
  /** Events of unknown kinds that were told so far. */
  readonly unknown: () => number;
  /** Ends all WebSockets, as when the network breaks. */
  readonly breakAll: () => void;
}

/** Starts one that ends with the test; pages of all origins may ask it. */
export async function startNewerNode(options: FakeNodeOptions = {}): Promise<NewerNode> {
  const node = await startFakeNode(options);
  let unknown = 0;

  const pass = async (request: IncomingMessage) => {
    const body = await buffer(request);
    const { "content-type": type = "application/json" } = request.headers;
    const answer = await fetch(node.url + request.url, {
      method: request.method ?? "GET",
      headers: { "content-type": type },
      ...(body.length > 0 && { body }),
    });
    const said = (await answer.json()) as { result?: { data: unknown } };
    const told = said.result ? { result: { data: newer(said.result.data) } } : said;
    return { status: answer.status, told };
  };

  const server = createServer((request, response) => {
    response.setHeader("access-control-allow-origin", "*");
    response.setHeader("access-control-allow-headers", "*");
    if (request.method === "OPTIONS") return response.end();
    return void pass(request).then(
      ({ status, told }) =>
        response
          .writeHead(status, { "content-type": "application/json" })
          .end(JSON.stringify(told)),
      () => response.destroy(),
    );
  });

  /** An event with what it has more, and another before it of a kind that there is not yet. */
  const eventsOf = (text: string): string[] => {
    if (!text.startsWith("{")) return [text];
    const message = JSON.parse(text);
    const { type, id, data } = message.result ?? {};
    if (type !== "data") return [text];
    const telling = (event: unknown) =>
      JSON.stringify({ ...message, result: { type, id, data: { id, data: event } } });
    const isOfFinds = data.data.type !== undefined;
    if (!isOfFinds) return [telling(newer(data.data))];
    unknown++;
    return [telling(newer(data.data)), telling({ type: "weather", sky: "blue" })];
  };

  const door = new WebSocketServer({ server });
  door.on("connection", (near, request) => {
    const far = new WebSocket(node.url.replace("http", "ws") + request.url);
    const waiting: string[] = [];
    near.on("message", (text) => {
      if (far.readyState === far.OPEN) far.send(String(text));
      else waiting.push(String(text));
    });
    far.on("open", () => {
      for (const text of waiting.splice(0)) far.send(text);
    });
    far.on("message", (text) => {
      for (const event of eventsOf(String(text))) near.send(event);
    });
    near.on("close", () => far.close());
    far.on("close", () => near.close());
    for (const socket of [near, far]) socket.on("error", () => {});
  });
  const breakAll = () => {
    for (const socket of door.clients) socket.terminate();
  };
  onTestFinished(() => {
    breakAll();
    door.close();
  });
  return { url: await listen(server), node, unknown: () => unknown, breakAll };
}
