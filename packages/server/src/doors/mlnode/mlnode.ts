/** The paths of a node of the network's broker (docs/mlnode.md): a thin door, as REST is. */
import {
  BROKER_OPERATIONS,
  type BrokerOperations,
  type Operation,
  parseWith,
  UpRequest,
} from "@proofmill/core";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { JOB_BODY } from "../../http/bodies/bodies.ts";
import { callerGone } from "../../http/caller.ts";
import { countBodies } from "../../http/connections/unfinished.ts";
import { sendWritten, writeLists } from "../../http/written.ts";
import { Refused } from "./answer.ts";
import { Models } from "./models.ts";
import type { MlnodeOptions } from "./options.ts";
import { Pow } from "./pow.ts";
import { describeState } from "./state.ts";
import { Ups } from "./up.ts";

/** Bytes of a body that names a model, and of what stands beside it. */
const SHORT_BODY = 64 * 1024;
interface Asked {
  body: unknown;
  params: { request_id?: string };
  signal: AbortSignal;
}

type BrokerCalls = { readonly [Name in keyof BrokerOperations]: (asked: Asked) => unknown };

/** A plugin. */
export async function mlnodeRoutes(app: FastifyInstance, options: MlnodeOptions): Promise<void> {
  // As the REST door: what was sent is judged here, whatever type it is said to have.
  app.addHook("onRequest", async (request) => {
    request.headers = { "content-type": "application/octet-stream" };
  });
  app.removeAllContentTypeParsers();
  app.setErrorHandler((error, _request, reply) => {
    if (!(error instanceof Refused)) throw error;
    return reply.code(error.status).send({ detail: error.detail });
  });
  const calls = callsOf(app, options);
  const routes: [Operation, (asked: Asked) => unknown][] = Object.entries(BROKER_OPERATIONS)
    .filter(([name]) => name !== "brokerMetrics" || options.metrics)
    .map(([name, operation]) => [operation, calls[name as keyof BrokerCalls]]);
  await app.register(async (scope) => {
    countBodies(scope, options.unfinished);
    scope.addContentTypeParser("*", { parseAs: "buffer" }, (_request, bytes, done) =>
      done(null, bytes),
    );
    for (const [operation, call] of routes) if (operation.body) add(scope, operation, call);
  });
  await app.register(async (scope) => {
    scope.addContentTypeParser("*", (_request, _payload, done) => done(null));
    for (const [operation, call] of routes) if (!operation.body) add(scope, operation, call);
  });

  function add(app: FastifyInstance, operation: Operation, call: (asked: Asked) => unknown): void {
    const { rest = "", scope, body } = operation;
    const [method = "", path = ""] = rest.split(" ");
    app.route({
      method,
      url: path.replace(/\{(\w+)\}/, ":$1"),
      config: { scope },
      ...(body && { bodyLimit: body === "ArtifactJob" ? JOB_BODY : SHORT_BODY }),
      handler: (request, reply) => handle({ ...operation, call }, request, reply),
    });
  }

  async function handle(
    { body, success, scope, rest, call }: Operation & { call: (asked: Asked) => unknown },
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<FastifyReply> {
    const { raw, params, log } = request;
    const bytes = request.body as Uint8Array | undefined;
    const sent = { bytes, contentType: raw.headers["content-type"] };
    const signal = callerGone(raw.socket);
    const asked = {
      body: body && (await options.bodies.read(body, sent, signal)),
      params: params as Asked["params"],
      signal,
    };
    const answer = await call(asked);
    if (scope === "admin") log.info({ command: rest }, "a command is carried out");
    if (typeof answer === "string") return reply.type(METRICS_TYPE).send(answer);
    return sendWritten(reply.code(success ?? 200), await writeLists(answer as object));
  }
}

const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

function callsOf(app: FastifyInstance, options: MlnodeOptions): BrokerCalls {
  const { gpus, version, chatsBesideJobs: poc_validation_inference, metrics } = options;
  const ups = new Ups({ ...options, log: app.log });
  const pow = new Pow(options);
  const models = new Models(options);
  const stop = async () => {
    await ups.stop();
    return { status: "OK" };
  };
  const begin = (body: unknown) => ups.begin(parseWith(UpRequest, body, "body"));
  return {
    nodeState: () => ({ version, ...describeState(options) }),
    nodeVersions: async () => ({
      ...{ version, poc_validation_inference },
      vllm_version: await options.upstreamVersion(),
    }),
    stopNode: stop,
    up: async ({ body }) => {
      await begin(body);
      return { status: "OK" };
    },
    upAsync: ({ body }) => {
      void begin(body).catch(() => {}); // its status says it
      return { status: "starting", message: "Inference startup initiated in background" };
    },
    upStatus: () => ups.status(),
    down: stop,
    brokerPowStatus: () => pow.status(),
    brokerInitGenerate: ({ body, signal }) => pow.initGenerate(body, signal),
    brokerGenerate: ({ body, signal }) => pow.generate(body, signal),
    brokerJob: ({ params }) => pow.job(params.request_id ?? ""),
    brokerPowStop: () => pow.stop(),
    modelStatus: ({ body }) => models.status(body),
    downloadModel: ({ body }) => models.download(body),
    deleteModel: ({ body }) => models.remove(body),
    listHeldModels: () => models.list(),
    modelSpace: () => models.space(),
    gpuDevices: async () => {
      const devices = await gpus.devices();
      return { devices, count: devices.length };
    },
    gpuDriver: async () => {
      const driver = await gpus.driver();
      if (driver) return driver;
      throw new Refused(503, "NVML not initialized. GPU features are not available.");
    },
    brokerMetrics: () => metrics?.(),
  };
}
