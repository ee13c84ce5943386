/** tRPC over HTTP, server-sent events and WebSocket, on the same server as REST. */

import type { IncomingMessage } from "node:http";
import websocket from "@fastify/websocket";
import type { Scope } from "@proofmill/core";
import type { AnyTRPCProcedure, AnyTRPCRouter } from "@trpc/server";
import { type FastifyTRPCPluginOptions, fastifyTRPCPlugin } from "@trpc/server/adapters/fastify";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { WebSocket } from "ws";
import type { Guard } from "../../access/guard.ts";
import { NOT_FOUND } from "../../http/answers.ts";
import { type Bodies, MAX_CALLS } from "../../http/bodies/bodies.ts";
import { callerGone } from "../../http/caller.ts";
import type { Connections } from "../../http/connections/connections.ts";
import type { Owed } from "../../http/connections/owed.ts";
import { requestId } from "../../http/request-id.ts";
import type { Lanes } from "../../http/connections/turns.ts";
import { countBodies, type Unfinished } from "../../http/connections/unfinished.ts";
import { webSocketUpgrades } from "../../http/connections/upgrades.ts";
import { FlowingWebSocket } from "../../http/web-socket.ts";
import { writtenStream } from "../../http/written.ts";
import { sharedEventEncoder } from "./encoder.ts";
import type { Subscriptions } from "./subscriptions.ts";
import type { Context } from "./trpc.ts";

const TRPC_PREFIX = "/trpc";

const PING_MS = 30_000;
const PONG_WAIT_MS = 10_000;

/** WebSocket close codes, RFC 6455 §7.4.1. */
const GOING_AWAY = 1001;

/**
 * Called before any hook that answers by itself: an upgrade that is refused must be known as one, or
 * its socket stays.
 */
export async function useWebSockets(
  app: FastifyInstance,
  options: {
    /** Bytes of one message. */
    maxPayload: number;
    guard: Guard;
    connections: Connections;
    owed: Owed;
    lanes: Lanes;
    bodies: Bodies;
    unfinished: Unfinished;
  },
): Promise<void> {
  const { maxPayload, connections, ...flow } = options;
  const { lanes, unfinished } = flow;
  await app.register(websocket, {
    options: {
      maxPayload,
      server: webSocketUpgrades(app.server, { connections, turns: lanes.patient, unfinished }),
      WebSocket: FlowingWebSocket as never, // the types want the whole module of ws
    },
    // Whoever sends bad frames is told by the close; a log of it would be his to fill.
    errorHandler: (error, socket, request) => {
      request.log.debug(`a WebSocket is closed: ${error.message}`);
      (socket as FlowingWebSocket).letGo();
    },
    preClose() {
      // Those who can will come back; the others are told at least.
      for (const client of app.websocketServer.clients) {
        if (client.readyState === WebSocket.OPEN) {
          client.send(JSON.stringify({ id: null, method: "reconnect" }));
          (client as FlowingWebSocket).drop(GOING_AWAY, "the node is shutting down");
        }
      }
      app.websocketServer.close();
    },
  });
  app.websocketServer.on("connection", (webSocket, request) => {
    (webSocket as FlowingWebSocket).begin({ request, ...flow });
  });
}

/**
 * Refuses a WebSocket where none is (RFC 6455 §4.2.2); the plugin would open it and close it again.
 */
export function refuseWebSocket(request: FastifyRequest, reply: FastifyReply): FastifyReply | null {
  if (!request.ws || request.routeOptions.url === TRPC_PREFIX) return null;
  return reply.code(404).send(NOT_FOUND);
}

interface TrpcDeps {
  guard: Guard;
  bodies: Bodies;
  connections: Connections;
  lanes: Lanes;
  unfinished: Unfinished;
  subscriptions: Subscriptions;
}

/** The procedures under `TRPC_PREFIX`. */
export async function useTrpc(
  app: FastifyInstance,
  router: AnyTRPCRouter,
  { guard, bodies, connections, lanes, unfinished, subscriptions }: TrpcDeps,
): Promise<void> {
  const trpcOptions: FastifyTRPCPluginOptions<AnyTRPCRouter>["trpcOptions"] = {
    router,
    maxBatchSize: MAX_CALLS,
    createContext: ({ req, res }) => contextOf(req, res, { app, guard, lanes, subscriptions }),
    responseMeta: ({ errors }) => {
      const seconds =
        errors[0]?.cause && "retryAfter" in errors[0].cause && errors[0].cause.retryAfter;
      return seconds ? { headers: { "retry-after": String(seconds) } } : {};
    },
    onError: ({ error, path, ctx }) => {
      if (error.code === "INTERNAL_SERVER_ERROR" && !isBadFrame(error.cause)) {
        (ctx?.log ?? app.log).error({ err: error.cause ?? error, path }, "a call failed");
      }
    },
    experimental_encoder: sharedEventEncoder,
    keepAlive: { enabled: true, pingMs: PING_MS, pongWaitMs: PONG_WAIT_MS },
  };
  // In a scope of its own: the plugin takes the parsers of bodies away.
  await app.register(async (scope) => {
    scope.addHook("onRoute", (route) => {
      if (Array.isArray(route.method)) route.method = ["GET", "HEAD", "POST"]; // what tRPC takes
    });
    scope.addHook("onSend", async (_request, reply, payload) => {
      if (!(payload instanceof Response) || !payload.body) return payload;
      reply.code(payload.status).headers(Object.fromEntries(payload.headers));
      return writtenStream(payload.body);
    });
    scope.addHook("onRequest", async (request, reply) => {
      const { path } = request.params as { path?: string };
      const scope = path === undefined ? null : scopeOfSubscription(router, path);
      if (scope === null) return;
      guard.checkScope(guard.keyOf(request.raw), scope); // else the refusal would be an event
      const release = connections.takeStream(request.raw.socket);
      if (!release) return reply.code(503).send({ detail: "Too Many Connections" });
      reply.raw.once("close", release);
    });
    countBodies(scope, unfinished);
    scope.addHook("preHandler", async (request, reply) => {
      if (typeof request.body !== "string") return;
      const { path } = request.params as { path: string };
      const isBatch = (request.query as { batch?: unknown }).batch === "1";
      const paths = isBatch ? path.split(",") : [path];
      if (paths.length > MAX_CALLS) {
        request.body = "{}"; // is refused for that, whatever is in it
        return;
      }
      const { text, forget } = await bodies.readCalls(request.body, { paths, isBatch });
      request.body = text;
      reply.raw.once("close", forget);
    });
    await scope.register(fastifyTRPCPlugin, { prefix: TRPC_PREFIX, useWSS: true, trpcOptions });
  });
}

/** Of what is answered by a stream of events; null for what is not. */
function scopeOfSubscription(router: AnyTRPCRouter, path: string): Scope | null {
  const procedures: Record<string, AnyTRPCProcedure | undefined> = router._def.procedures;
  const { type, meta } = procedures[path]?._def ?? {};
  return type === "subscription" ? (meta as { scope: Scope }).scope : null;
}

/** What ws finds wrong with a client's frames; the socket is closed for it. */
function isBadFrame(error: unknown): boolean {
  return error instanceof Error && "code" in error && /^WS_ERR_/.test(String(error.code));
}

/** One for each request, and for each WebSocket. */
function contextOf(
  request: FastifyRequest | IncomingMessage,
  reply: object,
  options: { app: FastifyInstance; guard: Guard; lanes: Lanes; subscriptions: Subscriptions },
): Context {
  const { app, guard, lanes, subscriptions } = options;
  const webSocket = reply instanceof FlowingWebSocket ? reply : null;
  // A WebSocket's may be shown after this is made.
  const key = () =>
    webSocket ? webSocket.key : guard.keyOf("raw" in request ? request.raw : request);
  const id = "raw" in request ? request.id : requestId();
  return {
    requestId: id,
    get log() {
      if ("raw" in request) return request.log;
      const label = key()?.label;
      return app.log.child({ reqId: id, ...(label !== undefined && { key: label }) });
    },
    checkScope: (scope) => guard.checkScope(key(), scope),
    get scopes() {
      return guard.scopesOf(key());
    },
    revoked: webSocket ? null : (key()?.revoked ?? null), // a WebSocket is closed as a whole
    gone: callerGone(request.socket),
    subscribe: subscriptions.connection(() =>
      guard.callerOf("raw" in request ? request.raw : request, key()),
    ),
    call: () => webSocket?.call() ?? (() => {}),
    ended: webSocket?.ended ?? null,
    // Each event goes a long way to its stream: told to all at once, thousands of subscribers would
    // hold the event loop.
    writable: async () => {
      await webSocket?.writable();
      await lanes.events.next();
    },
    nextTurn: () => lanes.patient.next(),
  };
}
