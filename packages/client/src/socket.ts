/** A watch's WebSocket: what becomes of it, and why a node does not let it in. */
import { pauseAfter } from "@proofmill/core/backoff";
import { createWSClient, type TRPCWebSocketClient } from "@trpc/client";
import { PlatformWebSocket } from "#websocket";
import { authorization, type Endpoint, foreignAnswer, noAnswer } from "./calls.ts";
import type { Connection } from "./connection.ts";
import { ConnectionError, ForbiddenError, NotANodeError, type PocClientError } from "./errors.ts";

export const BACKOFF = { first: 100, most: 10_000 };
/** For the question why a socket was not let in, milliseconds. */
const ASK_MS = 10_000;
/** Close codes from here on are the node's own: it has a reason that trying again may not mend. */
const FIRST_OWN_CODE = 4000;

export interface Socket {
  readonly client: TRPCWebSocketClient;
  /** To be told that the connection has brought something. */
  isOfUse(): void;
}

/**
 * Opens a socket that comes back by itself, until it is closed.
 *
 * @param tell hears of each change, `connecting` first; after `refused` of none
 */
export function openSocket(endpoint: Endpoint, tell: (connection: Connection) => void): Socket {
  let state: Connection["state"] = "connecting";
  let hasBeenOpen = false;
  let closeCode: number | undefined;
  let isAsking = false;
  /** Connections in a row that were let in and brought nothing: who does that is not asked at once again. */
  let useless = 0;

  const socket = createWSClient({
    url: `${endpoint.url.replace(/^http/, "ws")}/trpc`,
    WebSocket: PlatformWebSocket,
    retryDelayMs: (attempt) => {
      const failures = Math.max(attempt, useless - 1);
      return failures === 0 ? 0 : pauseAfter(failures + 1, BACKOFF);
    },
    keepAlive: { enabled: true, intervalMs: 10_000, pongTimeoutMs: 10_000 },
    onOpen: () => {
      useless++;
    },
    onClose: (event) => {
      closeCode = event?.code;
    },
    ...(endpoint.apiKey === undefined ? {} : { connectionParams: authorization(endpoint) }),
  });

  const become = (connection: Connection) => {
    if (state === "refused") return;
    state = connection.state;
    tell(connection);
  };

  /** A break needs no explanation; a door that stays shut does. */
  const onFailure = async () => {
    const isBreak = state === "open" && (closeCode ?? 0) < FIRST_OWN_CODE;
    closeCode = undefined;
    if (isBreak) {
      const error = new ConnectionError(`the connection to ${endpoint.url} broke`, {
        code: "CONNECTION",
      });
      become({ state: "lost", error });
      return;
    }
    if (isAsking) return;
    isAsking = true;
    const { error, isFinal } = await whyNotLetIn(endpoint, hasBeenOpen);
    isAsking = false;
    if (isFinal || state !== "open") become({ state: isFinal ? "refused" : "lost", error });
  };

  become({ state: "connecting" });
  socket.connectionState.subscribe({
    next: (now) => {
      if (now.state === "pending") {
        hasBeenOpen = true;
        become({ state: "open" });
      } else if (now.state === "connecting" && now.error) {
        void onFailure();
      }
    },
  });
  return {
    client: socket,
    isOfUse: () => {
      useless = 0;
    },
  };
}

/**
 * Why the node does not let a socket in. A browser does not say, so the node is asked over HTTP, in
 * a way that it refuses just as it refuses a socket: by host, origin and key.
 *
 * @param hasBeenOpen it has let us in before; then a foreign answer is a proxy's whose node is away
 */
async function whyNotLetIn(
  endpoint: Endpoint,
  hasBeenOpen: boolean,
): Promise<{ error: PocClientError; isFinal: boolean }> {
  const { url } = endpoint;
  const send = endpoint.fetch ?? globalThis.fetch;
  let response: Response;
  try {
    response = await send(`${url}/trpc/node.info`, {
      method: "POST",
      headers: { ...authorization(endpoint), "content-type": "application/json" },
      body: "{}",
      signal: AbortSignal.timeout(ASK_MS),
    });
  } catch (error) {
    const refusal = await originRefusal(url, send);
    return { error: refusal ?? noAnswer(error, url), isFinal: refusal !== null };
  }
  const { status } = response;
  // Questions follow where the address leads, sockets do not, and a key must not.
  if (response.redirected) {
    const message = `${url} leads on to ${new URL(response.url).origin}: give that address`;
    const error = new NotANodeError(message, { code: "NOT_A_NODE", status });
    return { error, isFinal: !hasBeenOpen };
  }
  const body: unknown = await response.json().catch(() => null);
  if (status === 401 || status === 403) {
    const message = `${url} answered ${status}: ${refusalIn(body) ?? "this caller may not"}`;
    const code = status === 401 ? "UNAUTHORIZED" : "FORBIDDEN";
    return { error: new ForbiddenError(message, { code, status }), isFinal: true };
  }
  if (body === null || status === 404) {
    const isFinal = status < 500 && !hasBeenOpen;
    return { error: foreignAnswer(status, url), isFinal };
  }
  const message = `${url} answers, but lets no WebSocket in; a proxy before it may have to be told`;
  return { error: new ConnectionError(message, { code: "CONNECTION" }), isFinal: false };
}

/**
 * Whether it is this page's origin that the node refuses: a browser says of such an answer only that
 * there was none, but it does send a request whose answer nobody wants to read.
 */
async function originRefusal(url: string, send: typeof fetch): Promise<ForbiddenError | null> {
  const page = (globalThis as { location?: { origin?: string } }).location?.origin;
  if (page === undefined || page === new URL(url).origin) return null;
  try {
    await send(`${url}/livez`, { mode: "no-cors", signal: AbortSignal.timeout(ASK_MS) });
  } catch {
    return null;
  }
  return new ForbiddenError(
    `${url} does not answer to pages of ${page}: start the node with --allow-origin ${page}`,
    { code: "ORIGIN_REFUSED" },
  );
}

/** What a door's refusal says: REST's `detail`, or tRPC's message. */
function refusalIn(body: unknown): string | null {
  const { detail, error } = (body ?? {}) as { detail?: unknown; error?: { message?: unknown } };
  const text = detail ?? error?.message;
  return typeof text === "string" ? text : null;
}
