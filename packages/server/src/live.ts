/** tRPC over HTTP, server-sent events and WebSocket, on the same server as REST. */

import type { IncomingMessage } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import websocket from "@fastify/websocket";
import { TRPCError } from "@trpc/server";
import { type FastifyTRPCPluginOptions, fastifyTRPCPlugin } from "@trpc/server/adapters/fastify";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { ulid } from "ulid";
import { WebSocket } from "ws";
import { callerGone } from "./caller.ts";
import { sharedEventEncoder } from "./encoder.ts";
import type { Connections } from "./http/connections.ts";
import { webSocketUpgrades } from "./http/upgrades.ts";
import type { AppRouter } from "./router.ts";
import type { Context } from "./trpc.ts";

export const TRPC_PREFIX = "/trpc";

/** Calls in one message or request. */
const MAX_BATCH = 32;
const MAX_SUBSCRIPTIONS = 64;
/** Bytes that wait in a socket before its subscriptions pause. */
const HIGH_WATER = 1024 * 1024;
/** Bytes at which a client that goes on asking without reading is dropped. */
const MAX_BUFFERED = 16 * 1024 * 1024;
/** Milliseconds that a paused socket has to take what waits. */
const STALL_MS = 30_000;
const POLL_MS = 50;
/** After a close that the client does not answer, milliseconds. */
const CLOSE_GRACE_MS = 2000;
const PING_MS = 30_000;
const PONG_WAIT_MS = 10_000;

/** WebSocket close codes, RFC 6455 §7.4.1. */
const GOING_AWAY = 1001;
const POLICY_VIOLATION = 1008;

/**
 * Called before any hook that answers by itself: an upgrade that is refused must be known as one, or
 * its socket stays.
 *
 * @param options.maxPayload bytes of one message
 */
export async function useWebSockets(
  app: FastifyInstance,
  options: { maxPayload: number; connections: Connections },
): Promise<void> {
  const { maxPayload, connections } = options;
  await app.register(websocket, {
    options: { maxPayload, server: webSocketUpgrades(app.server, connections) },
    // Whoever sends bad frames is told by the close; a log of it would be his to fill.
    errorHandler: (error, socket, request) => {
      request.log.debug(`a WebSocket is closed: ${error.message}`);
      socket.terminate();
    },
    preClose() {
      // Those who can will come back; the others are told at least.
      for (const client of app.websocketServer.clients) {
        if (client.readyState === WebSocket.OPEN) {
          client.send(JSON.stringify({ id: null, method: "reconnect" }));
          drop(client, GOING_AWAY, "the node is shutting down");
        }
      }
      app.websocketServer.close();
    },
  });
  app.websocketServer.on("connection", (socket: WebSocket) => {
    socket.on("message", () => {
      if (socket.bufferedAmount > MAX_BUFFERED) {
        drop(socket, POLICY_VIOLATION, "answers are not read");
      }
    });
  });
}

/**
 * Refuses a WebSocket where none is (RFC 6455 §4.2.2); the plugin would open it and close it again.
 */
export function refuseWebSocket(request: FastifyRequest, reply: FastifyReply): FastifyReply | null {
  if (!request.ws || request.routeOptions.url === TRPC_PREFIX) return null;
  return reply.code(404).send({ detail: "Not Found" });
}

/** The procedures under `TRPC_PREFIX`. */
export async function useTrpc(app: FastifyInstance, router: AppRouter): Promise<void> {
  const trpcOptions: FastifyTRPCPluginOptions<AppRouter>["trpcOptions"] = {
    router,
    maxBatchSize: MAX_BATCH,
    createContext: ({ req, res }) => contextOf(req, res),
    responseMeta: ({ errors }) => {
      const seconds =
        errors[0]?.cause && "retryAfter" in errors[0].cause && errors[0].cause.retryAfter;
      return seconds ? { headers: { "retry-after": String(seconds) } } : {};
    },
    onError: ({ error, path }) => {
      if (error.code === "INTERNAL_SERVER_ERROR" && !isBadFrame(error.cause)) {
        app.log.error({ err: error.cause ?? error, path }, "a call failed");
      }
    },
    experimental_encoder: sharedEventEncoder,
    keepAlive: { enabled: true, pingMs: PING_MS, pongWaitMs: PONG_WAIT_MS },
  };
  // In a scope of its own: the plugin takes the parsers of bodies away.
  await app.register(async (scope) => {
    scope.addHook("onRoute", (route) => {
      route.schema = { ...route.schema, hide: true }; // procedures are no REST paths
      if (Array.isArray(route.method)) route.method = ["GET", "HEAD", "POST"]; // what tRPC takes
    });
    await scope.register(fastifyTRPCPlugin, { prefix: TRPC_PREFIX, useWSS: true, trpcOptions });
  });
}

/** What ws finds wrong with a client's frames; the socket is closed for it. */
function isBadFrame(error: unknown): boolean {
  return error instanceof Error && "code" in error && /^WS_ERR_/.test(String(error.code));
}

/** One for each request, and for each WebSocket. */
function contextOf(request: FastifyRequest | IncomingMessage, reply: object): Context {
  let subscriptions = 0;
  return {
    requestId: "raw" in request ? request.id : ulid(),
    gone: callerGone(request.socket),
    subscribe: () => {
      if (subscriptions >= MAX_SUBSCRIPTIONS) {
        const message = `At most ${MAX_SUBSCRIPTIONS} subscriptions on one connection`;
        throw new TRPCError({ code: "TOO_MANY_REQUESTS", message });
      }
      subscriptions++;
      return () => {
        subscriptions--;
      };
    },
    // Over HTTP the stream itself asks for more when it can take it.
    writable: () => (reply instanceof WebSocket ? roomIn(reply) : Promise.resolve()),
  };
}

/** Resolves when a socket has room, or is closed; one that never reads is dropped. */
async function roomIn(socket: WebSocket): Promise<void> {
  const begin = performance.now();
  while (socket.readyState === WebSocket.OPEN && socket.bufferedAmount > HIGH_WATER) {
    if (performance.now() - begin > STALL_MS) {
      return drop(socket, POLICY_VIOLATION, "events are not read");
    }
    await sleep(POLL_MS);
  }
}

/** Says goodbye, and does not wait long for an answer. */
function drop(socket: WebSocket, code: number, reason: string): void {
  socket.close(code, reason);
  setTimeout(() => socket.terminate(), CLOSE_GRACE_MS).unref();
}
