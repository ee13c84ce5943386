/** The network's broker, as far as a doctor plays it: its calls, and where a node's callbacks go. */
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

/** Of an answer that a broker would wait for. */
const CALL_MS = 60_000;
/** As many artifacts as a node sends at once, generously. */
const MAX_BODY_BYTES = 64 * 2 ** 20;

export interface Delivery {
  kind: "generated" | "validated";
  body: Record<string, unknown>;
  /** Monotonic milliseconds. */
  at: number;
}

export interface Answer {
  status: number;
  body: Record<string, unknown>;
  /** As it came. */
  text: string;
}

export interface Broker {
  /** What a round names as its `url`. */
  readonly url: string;
  /** @param path behind the node's prefixes, e.g. `/api/v1/state` */
  call(method: "GET" | "POST", path: string, body?: object): Promise<Answer>;
  /** Resolves with the next delivery of that kind that was not asked for yet; null once `ms` are over. */
  next(kind: Delivery["kind"], ms: number): Promise<Delivery | null>;
  close(): Promise<void>;
}

/** @param node where the node answers, with its prefixes and without a slash at the end */
export async function playBroker(node: string): Promise<Broker> {
  const arrived: Delivery[] = [];
  const waiting = new Set<() => void>();
  const server = createServer(async (request, response) => {
    const kind = /\/(generated|validated)$/.exec(request.url ?? "")?.[1];
    const body = await bodyOf(request).catch(() => null);
    if (!kind || !body) return void response.writeHead(400).end();
    arrived.push({ kind: kind as Delivery["kind"], body, at: performance.now() });
    response.end();
    for (const look of waiting) look();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    // As the broker's: the model's name stands in it, escaped twice.
    url: `http://127.0.0.1:${port}/v2/poc-batches/proofmill%252Fdoctor`,

    async call(method, path, body) {
      const answer = await fetch(node + path, {
        method,
        signal: AbortSignal.timeout(CALL_MS),
        // Bytes, which have no type: the broker names none either.
        ...(body && { body: new TextEncoder().encode(JSON.stringify(body)) }),
      });
      const text = await answer.text();
      return { status: answer.status, body: objectOf(text), text };
    },

    next(kind, ms) {
      return new Promise((resolve) => {
        const end = (found: Delivery | null) => {
          clearTimeout(timer);
          waiting.delete(look);
          resolve(found);
        };
        const look = () => {
          const at = arrived.findIndex((each) => each.kind === kind);
          if (at !== -1) end(arrived.splice(at, 1)[0] ?? null);
        };
        const timer = setTimeout(() => end(null), ms);
        waiting.add(look);
        look();
      });
    },

    async close() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

async function bodyOf(request: IncomingMessage): Promise<Record<string, unknown>> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) throw new Error("too long");
    chunks.push(chunk);
  }
  return JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>;
}

/** An empty one for what is no object. */
function objectOf(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
