/** A broker that takes callbacks and keeps them. */
import { createServer, type IncomingHttpHeaders } from "node:http";
import { listen } from "../helpers.ts";

export interface Received {
  /** As it stood in the request. */
  path: string;
  headers: IncomingHttpHeaders;
  body: { request_id?: string; artifacts?: { nonce: number; vector_b64: string }[] };
}

export interface Receiver {
  readonly url: string;
  readonly received: Received[];
  /** All nonces that have come. */
  readonly nonces: ReadonlySet<number>;
  /** Resolves with the first callback from `mark` on that satisfies `condition`, come or to come. */
  until(mark: number, condition: (one: Received) => boolean): Promise<Received>;
}

/** @param answer what is answered to each; 200 by default */
export async function startReceiver(
  answer: (
    one: Received,
  ) => { status: number; text?: string } | Promise<{ status: number; text?: string }> = () => ({
    status: 200,
  }),
): Promise<Receiver> {
  const received: Received[] = [];
  const nonces = new Set<number>();
  const waiting = new Set<() => void>();
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = JSON.parse(Buffer.concat(chunks).toString()) as Received["body"];
    const one = { path: request.url ?? "", headers: request.headers, body };
    const { status, text = "" } = await answer(one);
    if (status < 300) {
      received.push(one);
      for (const { nonce } of body.artifacts ?? []) nonces.add(nonce);
      for (const look of waiting) look();
    }
    response.writeHead(status).end(text);
  });
  const url = await listen(server);
  return {
    url,
    received,
    nonces,
    until: (mark, condition) =>
      new Promise((resolve) => {
        const look = () => {
          const found = received.slice(mark).find(condition);
          if (!found) return;
          waiting.delete(look);
          resolve(found);
        };
        waiting.add(look);
        look();
      }),
  };
}
