/** The HTTP server of a node, put together; it does not listen yet. */
import fastifySwagger from "@fastify/swagger";
import type { InitDefaults, PocService } from "@proofmill/core";
import Fastify, { type FastifyInstance, type FastifyServerOptions } from "fastify";
import { jsonSchemaTransform } from "fastify-type-provider-zod";
import { sendError, sendNotFound } from "./errors.ts";
import { installGate } from "./openai/gate.ts";
import { installModels } from "./openai/models.ts";
import { installRest, MAX_BODY_BYTES, POW_PREFIX } from "./rest.ts";
import { version } from "./version.ts";

export interface ServerOptions {
  service: PocService;
  defaults: InitDefaults;
  /** Whether the model is loaded and its runner works; asked at each request. */
  isHealthy: () => boolean;
  /** The name that `/v1/models` shows. */
  servedModelName: string;
  allowInferenceWhileValidating?: boolean;
  logger?: FastifyServerOptions["loggerInstance"];
}

/** Milliseconds in which a client must have sent its whole request. */
const REQUEST_TIMEOUT_MS = 30_000;

export async function createServer(options: ServerOptions): Promise<FastifyInstance> {
  const { service } = options;
  const app = Fastify({
    bodyLimit: MAX_BODY_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    forceCloseConnections: "idle",
    return503OnClosing: false,
    // One line per request drowns a node's log; `debug` shows them.
    disableRequestLogging: true,
    ...(options.logger ? { loggerInstance: options.logger } : {}),
  }) as FastifyInstance;
  // The service validates and answers are its own objects: schemas only document.
  app.setValidatorCompiler(() => () => true);
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
  app.setErrorHandler(sendError);
  app.setNotFoundHandler(sendNotFound(app));
  app.addHook("onResponse", async (request, reply) => {
    const { method, url } = request;
    const ms = Math.round(reply.elapsedTime);
    request.log.debug({ method, url, status: reply.statusCode, ms }, "request");
  });
  installGate(app, {
    service,
    allowInferenceWhileValidating: options.allowInferenceWhileValidating ?? false,
  });
  await app.register(fastifySwagger, {
    openapi: {
      openapi: "3.1.0",
      info: { title: "proofmill", description: "A Proof-of-Compute node", version },
    },
    transform: jsonSchemaTransform,
  });
  await app.register(installRest, { prefix: POW_PREFIX, service, defaults: options.defaults });
  installModels(app, options);
  app.get("/health", { schema: { hide: true } }, async (_request, reply) =>
    options.isHealthy()
      ? { status: "ok" }
      : reply.code(503).header("retry-after", 2).send({ detail: "Model is loading" }),
  );
  app.get("/version", { schema: { hide: true } }, async () => ({ version }));
  app.get("/openapi.json", { schema: { hide: true } }, async () => app.swagger());
  return app;
}
