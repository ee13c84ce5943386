/// <reference types="node" preserve="true" />
/**
 * What receives a node's callbacks: parsing, signatures, and a handler that a coordinator mounts.
 * For Node.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import {
  InvalidCallbackError,
  parseArtifacts,
  parseArtifactVerdict,
  parseBody,
  parseGenerated,
  parseValidated,
} from "./callback-bodies.ts";
import type {
  GeneratedArtifacts,
  GeneratedBatch,
  ValidatedArtifacts,
  ValidatedBatch,
} from "./types.ts";

export {
  InvalidCallbackError,
  parseArtifacts,
  parseArtifactVerdict,
  parseGenerated,
  parseValidated,
} from "./callback-bodies.ts";
export type {
  GeneratedArtifacts,
  GeneratedBatch,
  ValidatedArtifacts,
  ValidatedBatch,
} from "./types.ts";

const MAX_BODY_BYTES = 16 * 1024 * 1024;
/** Seconds that a signature may be old, or ahead. */
const TOLERANCE_SECONDS = 300;
/** Rounds whose nonces are remembered; an aggregator has a few nodes' rounds under way at once. */
const REMEMBERED_ROUNDS = 1024;

/**
 * Checks a body's signature, `Proofmill-Signature: t=<seconds since 1970>,v1=<hex>`, an
 * HMAC-SHA-256 over `<t>.<body>`.
 *
 * @param options.now seconds since 1970
 * @throws InvalidCallbackError with status 401
 */
export function verifySignature(options: {
  secret: string;
  header: string | undefined;
  body: string | Uint8Array;
  now?: number;
}): void {
  const { secret, header, body, now = Date.now() / 1000 } = options;
  const refuse = (message: string) => new InvalidCallbackError(message, 401);
  if (!header) throw refuse("the signature is missing");
  const [, t, hex] = /^t=(\d{1,12}),v1=([0-9a-f]{64})$/.exec(header) ?? [];
  if (t === undefined || hex === undefined) throw refuse("the signature cannot be read");
  const expected = createHmac("sha256", secret).update(`${t}.`).update(body).digest();
  if (!timingSafeEqual(expected, Buffer.from(hex, "hex"))) throw refuse("the signature is wrong");
  if (Math.abs(now - Number(t)) > TOLERANCE_SECONDS) throw refuse("the signature is too old");
}

export interface ReceiverOptions {
  /** Gets each nonce of a round once; what it throws, or rejects with, makes the node send again. */
  onGenerated?: (batch: GeneratedBatch) => void | Promise<void>;
  /** Gets verdicts, one at a time; one whose acknowledgement was lost comes again. */
  onValidated?: (batch: ValidatedBatch) => void | Promise<void>;
  /**
   * Gets artifacts of rounds (`request_id` null) and of jobs. A nonce may come again, with the same
   * vector. Without it artifacts are refused with 422, since nobody would have them.
   */
  onArtifacts?: (batch: GeneratedArtifacts) => void | Promise<void>;
  /** Gets the verdicts of jobs; without it they are refused likewise. */
  onArtifactVerdict?: (verdict: ValidatedArtifacts) => void | Promise<void>;
  /**
   * The nodes' `--callback-secret`. `false`: anybody may post, signatures are not looked at. It has to
   * be said, since a variable that is not set would say it too.
   */
  secret: string | false;
  /** Hears of what was refused, and of what those above threw. */
  onError?: (error: unknown) => void;
}

/** What the plugin uses of a Fastify instance, so that nobody must install it for a type. */
export interface FastifyScope {
  removeAllContentTypeParsers(): unknown;
  addContentTypeParser(
    contentType: string,
    options: { parseAs: "buffer"; bodyLimit: number },
    parser: (
      request: unknown,
      body: Buffer,
      done: (error: Error | null, body?: unknown) => void,
    ) => void,
  ): unknown;
  post(
    path: string,
    options: { bodyLimit: number },
    handler: (request: FastifyCall, reply: FastifyAnswer) => Promise<unknown>,
  ): unknown;
}

export interface FastifyCall {
  readonly body: unknown;
  readonly headers: IncomingMessage["headers"];
}

export interface FastifyAnswer {
  code(status: number): FastifyAnswer;
  type(contentType: string): FastifyAnswer;
  send(payload: unknown): FastifyAnswer;
}

export interface Receiver {
  /** For `http.createServer`: answers every request whose path ends in /generated or /validated. */
  readonly handler: (request: IncomingMessage, response: ServerResponse) => void;
  /** A Fastify plugin: `app.register(receiver.plugin, { prefix: "/pow" })`. */
  readonly plugin: (app: FastifyScope) => Promise<void>;
}

/**
 * Makes the aggregator's end of callbacks. A request is acknowledged only after your promise has
 * resolved: what you have not stored by then is sent again.
 *
 * @throws TypeError for a `secret` that is missing or empty
 *
 * @example
 * const receiver = createReceiver({ secret, onGenerated: async (batch) => db.store(batch) });
 * http.createServer(receiver.handler).listen(9000); // callback_url: http://this-host:9000
 */
export function createReceiver(options: ReceiverOptions): Receiver {
  const { secret, onGenerated, onValidated, onArtifacts, onArtifactVerdict } = options;
  if (secret !== false && (typeof secret !== "string" || secret === "")) {
    throw new TypeError(
      "secret: expected the nodes' --callback-secret, or false where unsigned posts are welcome",
    );
  }
  const rounds = new SeenNonces();

  async function take(path: string, body: Uint8Array, signature: string | undefined) {
    if (secret !== false) verifySignature({ secret, header: signature, body });
    const value = parseBody(body);
    const has = (field: string) => typeof value === "object" && value !== null && field in value;
    if (path.endsWith("/validated")) {
      if (has("request_id")) {
        await given(onArtifactVerdict, "onArtifactVerdict")(parseArtifactVerdict(value));
      } else {
        const verdict = parseValidated(value);
        await onValidated?.(verdict);
      }
    } else if (has("artifacts")) {
      await given(onArtifacts, "onArtifacts")(parseArtifacts(value));
    } else {
      await rounds.once(parseGenerated(value), async (batch) => onGenerated?.(batch));
    }
  }

  async function answer(
    path: string,
    body: Uint8Array,
    signature: string | undefined,
  ): Promise<{ status: number; text: string }> {
    try {
      await take(path, body, signature);
      return { status: 200, text: "{}" };
    } catch (error) {
      options.onError?.(error);
      const isTheirs = error instanceof InvalidCallbackError;
      const detail = isTheirs ? error.message : "could not be taken, send it again";
      return { status: isTheirs ? error.status : 500, text: JSON.stringify({ detail }) };
    }
  }

  return {
    handler(request, response) {
      void receive(request).then(
        ({ status, text }) =>
          response.writeHead(status, { "content-type": "application/json" }).end(text),
        () => response.destroy(),
      );
    },
    async plugin(app) {
      app.removeAllContentTypeParsers();
      app.addContentTypeParser(
        "*",
        { parseAs: "buffer", bodyLimit: MAX_BODY_BYTES },
        (_, body, done) => done(null, body),
      );
      for (const path of ["/generated", "/validated"]) {
        app.post(path, { bodyLimit: MAX_BODY_BYTES }, async (request, reply) => {
          const signature = request.headers["proofmill-signature"];
          const { status, text } = await answer(
            path,
            (request.body as Uint8Array | null) ?? new Uint8Array(),
            typeof signature === "string" ? signature : undefined,
          );
          return reply.code(status).type("application/json").send(text);
        });
      }
    },
  };

  async function receive(request: IncomingMessage) {
    const path = (request.url ?? "").split("?", 1)[0] ?? "";
    if (!/\/(generated|validated)$/.test(path)) {
      return { status: 404, text: '{"detail":"Not Found"}' };
    }
    if (request.method !== "POST") return { status: 405, text: '{"detail":"Method Not Allowed"}' };
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of request as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      // Read to its end all the same: a connection that is left is reset, with the answer unread.
      if (bytes <= MAX_BODY_BYTES) chunks.push(chunk);
      else chunks.length = 0;
    }
    if (bytes > MAX_BODY_BYTES) return { status: 413, text: '{"detail":"Body is too large"}' };
    const signature = request.headers["proofmill-signature"];
    return answer(
      path,
      Buffer.concat(chunks),
      typeof signature === "string" ? signature : undefined,
    );
  }
}

/** What takes artifacts must be there: acknowledged, they would be gone. */
function given<T>(handler: T | undefined, name: string): T {
  if (handler !== undefined) return handler;
  throw new InvalidCallbackError(`this receiver takes no artifacts: it was given no ${name}`);
}

interface SeenRound {
  readonly nonces: Set<number>;
  /** Batches of one round are taken one after another. */
  last: Promise<void>;
}

/** Which nonces of which round have been taken. */
class SeenNonces {
  /** The one used last is at the end. */
  readonly #rounds = new Map<string, SeenRound>();

  /** Hands on what is new in a batch; it counts as seen when that has worked. */
  once(batch: GeneratedBatch, take: (fresh: GeneratedBatch) => Promise<void>): Promise<void> {
    const { round_id, public_key, block_hash, block_height, r_target } = batch;
    const round = this.#round(
      JSON.stringify([round_id, public_key, block_hash, block_height, r_target]),
    );
    const taken = round.last.then(async () => {
      const fresh = batch.nonces.map((nonce) => !round.nonces.has(nonce));
      if (!fresh.includes(true)) return;
      await take({
        ...batch,
        nonces: batch.nonces.filter((_, i) => fresh[i]),
        dist: batch.dist.filter((_, i) => fresh[i]),
      });
      for (const nonce of batch.nonces) round.nonces.add(nonce);
    });
    round.last = taken.catch(() => {});
    return taken;
  }

  #round(key: string): SeenRound {
    const round = this.#rounds.get(key) ?? { nonces: new Set(), last: Promise.resolve() };
    this.#rounds.delete(key);
    this.#rounds.set(key, round);
    const [oldest] = this.#rounds.keys();
    if (this.#rounds.size > REMEMBERED_ROUNDS && oldest !== undefined) this.#rounds.delete(oldest);
    return round;
  }
}
