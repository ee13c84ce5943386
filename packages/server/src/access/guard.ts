/** Stands before everything: who asks, with which key, whether it allows this, and how often. */
import type { IncomingMessage } from "node:http";
import { PocError, SCOPES, type Scope } from "@proofmill/core";
import type { FastifyReply, FastifyRequest } from "fastify";
import { network, type Proxies } from "./addresses.ts";
import { allows, type Key, type Keyring } from "./keys.ts";
import { type Newcomer, Newcomers } from "./newcomers.ts";
import type { Rates } from "./rates.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /** What a key must allow for the route; without it any key will do. */
    scope?: Scope;
    /** Whether the route is free of keys: the page's files, which tell nothing of the node. */
    needsNoKey?: boolean;
  }
}

/**
 * Paths that need no key: supervisors ask them, and a key in their configuration would be one more
 * to lose. They say no more than `status` to who shows none.
 */
export const OPEN_PATHS: ReadonlySet<string> = new Set(["/livez", "/readyz", "/health"]);
/** Bytes of a refused request's body that are read and dropped. */
const MAX_DROPPED = 1024 * 1024;
/** The only path of WebSockets, which may show their key in their first message. */
const WEBSOCKET_PATH = "/trpc";

/** Requests that were refused since the node started. */
interface RefusalCounters {
  /** Without a valid key. */
  unauthorized: number;
  /** By a key that does not allow it. */
  forbidden: number;
  /** For there were too many. */
  limited: number;
}

interface GuardOptions {
  /** Null: nobody needs a key. */
  keys: Keyring | null;
  proxies: Proxies;
  /** Null: as many as come. */
  rates: Rates | null;
}

export class Guard {
  readonly refused: RefusalCounters = { unauthorized: 0, forbidden: 0, limited: 0 };
  readonly #keys: Keyring | null;
  readonly #proxies: Proxies;
  readonly #rates: Rates | null;
  readonly #newcomers: Newcomers | null;
  readonly #keyOf = new WeakMap<IncomingMessage, Key>();

  constructor({ keys, proxies, rates }: GuardOptions) {
    this.#keys = keys;
    this.#proxies = proxies;
    this.#rates = rates;
    this.#newcomers = keys && new Newcomers(keys);
  }

  /** Whether callers need keys. */
  get isLocked(): boolean {
    return this.#keys !== null;
  }

  /** Those that are valid now. */
  get keys(): readonly Key[] {
    return this.#keys?.keys ?? [];
  }

  /** Whether it matters how many calls a message has. */
  get isCounting(): boolean {
    return this.#keys !== null || this.#rates !== null;
  }

  /** The key that came with a request; null without one. */
  keyOf(request: IncomingMessage): Key | null {
    return this.#keyOf.get(request) ?? null;
  }

  /** What the requests of one caller have in common: their key, or without one their network. */
  callerOf(request: IncomingMessage, key = this.keyOf(request)): string {
    return key ? `key ${key.label}` : network(this.#proxies.callerOf(request));
  }

  /**
   * Answers a request that may not be made: 401, 429 or 403, in this order and before anything else
   * is looked at; leaves the others alone (null).
   */
  refuse(request: FastifyRequest, reply: FastifyReply): FastifyReply | null {
    try {
      this.#check(request);
      return null;
    } catch (error) {
      if (!(error instanceof PocError)) throw error;
      return sendRefusal(error, request, reply);
    }
  }

  /** @throws PocError SCOPE_REQUIRED unless the key allows it, or nobody needs one */
  checkScope(key: Key | null, scope: Scope): void {
    if (!this.#keys || (key && allows(key, scope))) return;
    this.refused.forbidden++;
    throw new PocError("SCOPE_REQUIRED", {
      detail: `This key's scopes do not allow this: it needs ${scope}`,
    });
  }

  /** What a caller with this key may do. */
  scopesOf(key: Key | null): readonly Scope[] {
    if (!this.#keys) return SCOPES;
    return key ? SCOPES.filter((scope) => allows(key, scope)) : [];
  }

  /** Whether a request is answered with no more than `status`: one for an open path without a key. */
  hidesReasons(request: FastifyRequest): boolean {
    if (!this.#keys || !isOpen(request)) return false;
    const key = this.keyOf(request.raw);
    return key === null || !allows(key, "read");
  }

  /**
   * What a WebSocket that came without a key has to show; null where it showed one, or needs none.
   *
   * @param close ends it, with `KEY_REQUIRED_CLOSE`
   */
  newcomer(request: IncomingMessage, close: () => void): Newcomer | null {
    if (!this.#newcomers || this.keyOf(request)) return null;
    return this.#newcomers.receive(this.#proxies.callerOf(request), close);
  }

  /**
   * Counts the calls of a WebSocket's message.
   *
   * @returns milliseconds that they have to wait
   */
  pace(request: IncomingMessage, key: Key | null, calls: number): number {
    if (key) key.usage.calls += calls;
    const payer = this.#payer(request, key);
    const wait = payer === null ? 0 : (this.#rates?.reserve(payer, calls) ?? 0);
    if (wait > 0) this.refused.limited++;
    return wait;
  }

  #check(request: FastifyRequest): void {
    const { raw } = request;
    const key = this.#keys?.find(raw.headers.authorization) ?? null;
    const calls = callsIn(request);
    if (key) {
      this.#keyOf.set(raw, key);
      key.usage.calls += calls;
      request.log = request.log.child({ key: key.label });
    }
    const { scope, needsNoKey } = request.routeOptions?.config ?? {};
    if (isOpen(request) || needsNoKey || isPreflight(raw)) return;
    if (this.#keys && !key && !mayShowLater(request)) {
      this.refused.unauthorized++;
      throw new PocError("UNAUTHORIZED");
    }
    const payer = this.#payer(raw, key);
    const wait = payer === null ? 0 : (this.#rates?.take(payer, calls) ?? 0);
    if (wait > 0) {
      this.refused.limited++;
      throw new PocError("TOO_MANY_REQUESTS", { retryAfter: Math.ceil(wait / 1000) });
    }
    if (scope) this.checkScope(key, scope);
  }

  /** Whose requests are counted together; null: nobody's. */
  #payer(request: IncomingMessage, key: Key | null): string | null {
    const isFree = !key && this.#proxies.isExempt(this.#proxies.callerOf(request));
    return isFree ? null : this.callerOf(request, key);
  }
}

function isOpen({ routeOptions }: FastifyRequest): boolean {
  return OPEN_PATHS.has(routeOptions?.url ?? "");
}

/** A browser's question whether a page may ask; it comes without a key. */
function isPreflight({ method, headers }: IncomingMessage): boolean {
  const { origin, "access-control-request-method": asked } = headers;
  return method === "OPTIONS" && origin !== undefined && asked !== undefined;
}

/** A WebSocket without a header; one whose header is wrong has nothing to wait for. */
function mayShowLater({ ws, raw, routeOptions }: FastifyRequest): boolean {
  return ws && raw.headers.authorization === undefined && routeOptions?.url === WEBSOCKET_PATH;
}

/** A batch of procedures has a name for each of them in its path. */
function callsIn({ params }: FastifyRequest): number {
  const { path } = (params ?? {}) as { path?: unknown };
  return typeof path === "string" ? path.split(",").length : 1;
}

/** OpenAI's clients read `error`. */
const AS_OPENAI_SAYS: Readonly<Record<number, { type: string; code: string }>> = {
  401: { type: "invalid_request_error", code: "invalid_api_key" },
  403: { type: "invalid_request_error", code: "insufficient_permissions" },
  429: { type: "requests", code: "rate_limit_exceeded" },
};

function sendRefusal(error: PocError, { raw }: FastifyRequest, reply: FastifyReply): FastifyReply {
  const { status, message, hint, retryAfter } = error;
  if (status === 401) reply.header("www-authenticate", "Bearer");
  if (retryAfter !== undefined) reply.header("retry-after", retryAfter);
  // A short body is read and dropped, for the sake of the connection; no other is.
  if (!(bodyLength(raw) <= MAX_DROPPED)) reply.header("connection", "close");
  return reply.code(status).send({
    detail: error.detail,
    error: { message, param: null, ...AS_OPENAI_SAYS[status] },
    ...(hint !== undefined && { hint }),
  });
}

/** Bytes that are announced; NaN where a body has no length. */
function bodyLength({ headers }: IncomingMessage): number {
  return headers["transfer-encoding"] ? Number.NaN : Number(headers["content-length"] ?? 0);
}
