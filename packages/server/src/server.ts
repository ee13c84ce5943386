/** The HTTP server with all its routes; it does not listen. */
import cors from "@fastify/cors";
import {
  type DeliveryInfo,
  type InitDefaults,
  type Meter,
  OPERATIONS,
  type PocService,
  type RunnerInfo,
  type SessionStats,
  toEach,
} from "@proofmill/core";
import Fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  LogController,
} from "fastify";
import type { Proxies } from "./access/addresses.ts";
import { Guard } from "./access/guard.ts";
import type { Keyring } from "./access/keys.ts";
import { Rates } from "./access/rates.ts";
import { type Tls, watchTls } from "./access/tls.ts";
import { offeredBy } from "./api-docs/offered.ts";
import { useOpenApi } from "./api-docs/routes.ts";
import { createCalls } from "./calls.ts";
import { BodyReader } from "./completions/body-reader.ts";
import type { Inference } from "./completions/inference.ts";
import { type InferenceMeter, toEachMeter } from "./completions/meter.ts";
import { mlnodeRoutes } from "./doors/mlnode/mlnode.ts";
import { healthFields } from "./doors/mlnode/state.ts";
import { openAiRoutes, TEXT_PATHS } from "./doors/openai/openai.ts";
import { completeRefusals, withoutInference } from "./doors/openai/refusals.ts";
import { restRoutes } from "./doors/rest/rest.ts";
import { refuseWebSocket, useTrpc, useWebSockets } from "./doors/trpc/live.ts";
import { createRouter } from "./doors/trpc/router.ts";
import { Subscriptions } from "./doors/trpc/subscriptions.ts";
import { healthOf } from "./health.ts";
import type { HeldModel } from "./held-model.ts";
import { Events, type Told } from "./history/events.ts";
import { History } from "./history/history.ts";
import { originEvent } from "./history/part-events.ts";
import { tellRounds } from "./history/round-events.ts";
import { Tally } from "./history/tally.ts";
import { NOT_FOUND, refuseStrayOptions, statusAlone, useErrorAnswers } from "./http/answers.ts";
import { answerBadHttp, answerSlowBody } from "./http/connections/bad-http.ts";
import { Bodies, JOB_BODY } from "./http/bodies/bodies.ts";
import {
  type ConnectionLimits,
  Connections,
  connectionLimits,
  SWEEP_MS,
} from "./http/connections/connections.ts";
import { hostGuard } from "./http/hosts.ts";
import { originGuard, refusalsForPages, SHOWN_HEADERS } from "./http/origins.ts";
import { Owed } from "./http/connections/owed.ts";
import { keepPace } from "./http/connections/pace.ts";
import { type Prefixes, prefixStripper } from "./http/prefixes.ts";
import { requestId } from "./http/request-id.ts";
import { createRequestServer } from "./http/connections/requests.ts";
import { Lanes } from "./http/connections/turns.ts";
import { Unfinished } from "./http/connections/unfinished.ts";
import { InferenceGate, pathOf } from "./inference/gate.ts";
import { UPSTREAM_PATHS, type Upstream, useUpstream } from "./inference/upstream.ts";
import type { NodeMeter } from "./metrics/meter.ts";
import { countAnswers, createMetrics } from "./metrics/metrics.ts";
import { mlnodeMetrics } from "./metrics/mlnode.ts";
import { usePage } from "./page.ts";
import { Gpus } from "./platform/gpus.ts";
import { Output, say } from "./platform/output.ts";
import { harmlessLog, readableLog } from "./platform/readable-log.ts";
import type { ServeConfig } from "./settings/config.ts";
import { version as ownVersion } from "./version.ts";

/**
 * Bytes that a body may have: what a proof needs, no more. A hostile body of a million little arrays
 * takes a tenth of a second of the thread that parses it, for each MiB, and thirty times its bytes.
 */
const LEAST_BODY_LIMIT = 1024 * 1024;
/** A nonce of 16 digits and a distance of 22 characters, generously indented. */
const BYTES_PER_NONCE = 128;

/**
 * What is sent and answered is checked by the wire's schemas. Fastify's own compilers, which no route
 * needs, would take a tenth of a start to be loaded.
 */
const NO_COMPILERS = {
  buildValidator: () => () => {
    throw new Error("a route has a schema of Fastify's");
  },
  buildSerializer: () => () => {
    throw new Error("a route has a schema of Fastify's");
  },
};

/** What it is configured with, as the node is. */
type ServerConfig = Pick<
  ServeConfig,
  | "logLevel"
  | "logFormat"
  | "protocol"
  | "maxValidateNonces"
  | "allowInferenceWhileValidating"
  | "ungateModels"
  | "allowOrigin"
  | "allowHost"
  | "maxRequestsPerSecond"
  | "maxConnectionsPerAddress"
>;

interface ServerDeps extends ServerConfig {
  /** Opens the service, which logs where the server does and tells the meter what it does. */
  openService: (log: FastifyBaseLogger, meter: Meter) => Promise<PocService>;
  /** The model as /v1 calls it. */
  modelName: string;
  model: HeldModel;
  /** What stands before the broker's paths. */
  prefixes: Prefixes;
  /** What the broker asks of the model's files, and whether it is shown metrics. */
  broker?: {
    modelFolder: () => string | null;
    /** Of a model of the hub; null: of none. */
    revision: string | null;
    showsMetrics: boolean;
  };
  defaults: InitDefaults;
  /** Milliseconds that running inference has to end when a round begins. */
  drainMs: number;
  /** The server that inference is forwarded to; null: this node's own. */
  upstream: { url: string; apiKey?: string | undefined } | null;
  /** Answers by the node's own model; null: there are none. */
  openInference: ((meter: InferenceMeter) => Inference) | null;
  /** In the order of `--device`. */
  runners: () => readonly RunnerInfo[];
  /** Of all runners together. */
  sessionStats: () => SessionStats;
  /** Of callbacks; all zero where none are sent. */
  delivery: () => Promise<DeliveryInfo>;
  /** Who may use the node; null: whoever reaches it. */
  keys: Keyring | null;
  proxies: Proxies;
  /** For TLS; null: it speaks plain HTTP. */
  tls: Tls | null;
  /** What the descriptors allow, by default. */
  connectionLimits?: ConnectionLimits;
}

interface CreatedServer {
  /** Ready to listen. Closing it, and the service behind it, is the caller's. */
  app: FastifyInstance;
  service: PocService;
  /** Where it logs. */
  log: Output;
  /** To be given runners; null: the node answers nothing itself. */
  inference: Inference | null;
  /** To be told of runners. */
  meter: NodeMeter;
  history: History;
  /** To be told of what happens. */
  events: Events;
}

export async function createServer(deps: ServerDeps): Promise<CreatedServer> {
  // Forwarding takes a second descriptor.
  const limits = deps.connectionLimits ?? {
    ...connectionLimits(deps.upstream ? 2 : 1),
    perAddress: deps.maxConnectionsPerAddress,
    isExempt: deps.proxies.isExempt,
  };
  const bodyLimit = Math.max(LEAST_BODY_LIMIT, deps.maxValidateNonces * BYTES_PER_NONCE);
  const log = new Output(1, {
    onFault: ({ message }) =>
      say(`the log cannot be written (${message}); the node goes on, and counts lost lines`),
    onRecovery: (lost) => app.log.warn({ lost }, "log lines were lost"),
  });
  const metrics = createMetrics(deps.modelName);
  const { logFormat } = deps;
  const isForPeople = logFormat === "pretty" || (logFormat === "auto" && log.isTTY);
  const { keys, proxies, tls, maxRequestsPerSecond } = deps;
  const rates = maxRequestsPerSecond === undefined ? null : new Rates(maxRequestsPerSecond);
  const guard = new Guard({ keys, proxies, rates });
  const lanes = new Lanes();
  const longestBody = deps.protocol === "v1" ? bodyLimit : Math.max(bodyLimit, JOB_BODY);
  const unfinished = new Unfinished(longestBody);
  const owed = new Owed();
  const { protocol, model, prefixes } = deps;
  const isForBroker = protocol !== "v1";
  const strip = prefixStripper(prefixes);
  const app = Fastify({
    rewriteUrl: ({ url = "/" }) => (isForBroker ? strip(url) : url),
    genReqId: requestId,
    // A batch's procedures stand in its path.
    routerOptions: { maxParamLength: 4096 },
    schemaController: { compilersFactory: NO_COMPILERS },
    logger: {
      level: deps.logLevel,
      base: null,
      stream: isForPeople ? readableLog(log, { colorize: log.hasColours }) : harmlessLog(log),
    },
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit,
    serverFactory: (listener) => {
      const options = {
        headersTimeout: limits.headersMs,
        connectionsCheckingInterval: SWEEP_MS,
        requestTimeout: 0, // keepPace looks at bodies
        keepAliveTimeout: limits.idleMs,
        ...(tls && {
          ...tls,
          handshakeTimeout: limits.headersMs,
          requestCert: tls.ca !== undefined,
        }),
      };
      const server = createRequestServer(options, listener, { lanes, unfinished });
      owed.watch(server);
      if (tls) watchTls(server);
      return server;
    },
    forceCloseConnections: "idle",
    // What comes while the server closes is answered by the routes: the service refuses by itself.
    return503OnClosing: false,
    // A path that cannot be decoded is no path of ours.
    frameworkErrors: (_error, request: FastifyRequest, reply: FastifyReply) =>
      guard.refuse(request, reply) ??
      otherHost(request, reply) ??
      gate.refuse(request, reply) ??
      reply.code(404).send(NOT_FOUND),
    clientErrorHandler: (error, socket) =>
      answerBadHttp(error, socket, connections.unanswered(socket)),
  });
  const connections = new Connections(app.server, limits);
  lanes.arrivals.watch(app.server);
  keepPace(app.server, limits.pace, (request) =>
    answerSlowBody(request, connections.unanswered(request.socket)),
  );
  const bodies = new Bodies({
    bodyLimit: longestBody,
    limits: () => service.initLimits,
  });
  app.addHook("onClose", async () => bodies.close());
  const transport = { guard, connections, lanes, bodies, unfinished };
  await useWebSockets(app, { ...transport, maxPayload: bodyLimit, owed });
  const events = new Events();
  const history = new History({ state: () => service.state });
  const tally = new Tally();
  const meter = toEach([metrics.meter, history, events, tally]);
  const service = await deps.openService(app.log, meter);
  if (service.enabled) {
    const ends = [history.start(), tellRounds(service, events.tell)];
    app.addHook("onClose", async () => {
      for (const end of ends) end();
    });
  }
  const inference = deps.openInference?.(toEachMeter([metrics.meter, history, tally])) ?? null;
  const gate = new InferenceGate({
    service,
    isStopped: () => model.isStopped,
    allowWhileValidating: deps.allowInferenceWhileValidating,
    drainMs: deps.drainMs,
    ungateModels: deps.ungateModels,
    paths: deps.upstream ? UPSTREAM_PATHS : TEXT_PATHS,
  });

  const otherHost = hostGuard(deps.allowHost);
  const foreign = originGuard(deps.allowOrigin, app.log, (origin) =>
    events.tell(originEvent(origin)),
  );
  const letPagesRead = refusalsForPages(deps.allowOrigin);

  app.addHook("onRequest", async (request, reply) => {
    reply.header("x-request-id", request.id);
    letPagesRead(request, reply);
    return (
      guard.refuse(request, reply) ??
      otherHost(request, reply) ??
      foreign(request, reply) ??
      gate.refuse(request, reply) ??
      refuseStrayOptions(request, reply) ??
      refuseWebSocket(request, reply) ??
      undefined
    );
  });
  app.addHook("onResponse", async (request, reply) => {
    const { method } = request;
    const path = pathOf(request.url); // callers may put what they like behind it, secrets too
    const { statusCode: status, elapsedTime } = reply;
    request.log.debug({ method, path, status, ms: Math.round(elapsedTime) }, "request");
  });
  countAnswers(app, metrics.meter);
  app.addHook("onSend", async (request, reply, payload) =>
    guard.hidesReasons(request) ? statusAlone(reply, payload) : payload,
  );
  completeRefusals(app, (request) => gate.isInference(request));
  useErrorAnswers(app);
  if (deps.allowOrigin.length > 0) {
    await app.register(cors, {
      origin: [...deps.allowOrigin],
      exposedHeaders: SHOWN_HEADERS,
    });
  }
  const { modelName, runners, delivery, defaults } = deps;
  const { listModels, ...others } = OPERATIONS;
  const operations = deps.upstream ? others : OPERATIONS; // the upstream lists its own models
  let upstream: Upstream | null = null;
  const gpus = new Gpus();
  const version = prefixes.versions?.[0] ?? ownVersion;
  const chatsBesideJobs = deps.upstream !== null || inference !== null;
  const { modelFolder = () => null, revision = null, showsMetrics = true } = deps.broker ?? {};
  const metricsForBroker = mlnodeMetrics({
    version,
    gpus: () => gpus.devices(),
    model: () => service.model && { ...service.model, name: model.name, runners: runners().length },
  });
  const broker = {
    ...{
      service,
      model,
      gpus,
      bodies,
      unfinished,
      version,
      chatsBesideJobs,
      modelFolder,
      revision,
    },
    port: () => portOf(app),
    upstreamVersion: async () => upstream?.version() ?? null,
    onCommand: (told: Omit<Told, "kind">) => events.tell({ kind: "broker", ...told }),
    isHealthy: () => healthOf({ service, runners }).reasons.length === 0,
    metrics: showsMetrics ? metricsForBroker : null,
  };
  const calls = createCalls({
    ...{ service, gate, log, modelName, runners, delivery, history, events, tally },
    servesInference: deps.upstream !== null || inference !== null,
    upstream: () => upstream,
    modelNames: () => model.names,
    longestAnswer: () => inference?.pool.limits?.max_len ?? null,
    healthFields: isForBroker ? () => healthFields(broker) : undefined,
    rounds: protocol === "both" ? undefined : isForBroker ? "artifacts" : "distances",
    chatsBesideJobs,
  });
  const leftOut = [
    ...(deps.upstream ? ["listModels"] : []), // the upstream lists its own models
    ...(showsMetrics ? [] : ["brokerMetrics"]),
  ];
  useOpenApi(app, {
    ...offeredBy(protocol, leftOut),
    ...{ defaults, modelName, isLocked: guard.isLocked, chatsAs: inference?.modelName },
  });
  usePage(app);
  const subscriptions = new Subscriptions();
  await useTrpc(app, createRouter(OPERATIONS, calls), { ...transport, subscriptions });
  metrics.expose(app, {
    ...{ service, runners, delivery, gate, connections, subscriptions, log },
    sessionStats: deps.sessionStats,
    access: guard,
  });
  if (deps.upstream) {
    upstream = await useUpstream(app, { ...deps.upstream, isLocked: guard.isLocked, gate });
  }
  if (inference) {
    const reader = new BodyReader(bodyLimit);
    app.addHook("onClose", async () => {
      await Promise.all([reader.close(), inference.close()]);
    });
    await app.register(async (scope) =>
      openAiRoutes(scope, {
        ...{ inference, gate, reader, unfinished, listModels: calls.listModels },
        assertRunner: () => service.assertRunner(),
        callerOf: (request) => guard.callerOf(request),
      }),
    );
  } else if (!deps.upstream) await app.register(withoutInference);
  await app.register(async (scope) =>
    restRoutes(scope, {
      ...{ operations, calls, service, bodies, unfinished, guard },
      artifacts: isForBroker ? { artifacts: service.artifacts, isOnly: protocol === "v2" } : null,
    }),
  );
  if (isForBroker) await app.register(async (scope) => mlnodeRoutes(scope, broker));
  return { app, service, log, inference, meter: metrics.meter, history, events };
}

/** Where it listens; 0 while it does not. */
function portOf(app: FastifyInstance): number {
  const address = app.server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}
