/** The paths of a node of the network's broker (docs/mlnode.md): a thin door, as REST is. */
import { parseWith, type SchemaName, type Scope, UpRequest } from "@proofmill/core";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { JOB_BODY } from "../../http/bodies.ts";
import { callerGone } from "../../http/caller.ts";
import { countBodies } from "../../http/unfinished.ts";
import { sendWritten, writeLists } from "../../http/written.ts";
import { Refused } from "./answer.ts";
import { Models } from "./models.ts";
import type { MlnodeOptions } from "./options.ts";
import { Pow } from "./pow.ts";
import { describeState } from "./state.ts";
import { Ups } from "./up.ts";

const PREFIX = "/api/v1";
/** Bytes of a body that names a model, and of what stands beside it. */
const SHORT_BODY = 64 * 1024;
interface Route {
  rest: `${"GET" | "POST" | "DELETE"} /${string}`;
  scope: Scope;
  /** What is sent; absent: a body is not looked at. */
  body?: SchemaName;
  bodyLimit?: number;
  /** Of the answer; 200 by default. */
  status?: number;
  call(asked: Asked): unknown;
}

interface Asked {
  body: unknown;
  params: { request_id?: string };
  signal: AbortSignal;
}

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
  const routes = routesOf(app, options);
  await app.register(async (scope) => {
    countBodies(scope, options.unfinished);
    scope.addContentTypeParser("*", { parseAs: "buffer" }, (_request, bytes, done) =>
      done(null, bytes),
    );
    for (const route of routes) if (route.body) add(scope, route);
  });
  await app.register(async (scope) => {
    scope.addContentTypeParser("*", (_request, _payload, done) => done(null));
    for (const route of routes) if (!route.body) add(scope, route);
  });

  function add(app: FastifyInstance, route: Route): void {
    const [method = "", url = ""] = route.rest.split(" ");
    app.route({
      method,
      url: PREFIX + url,
      config: { scope: route.scope },
      ...(route.body && { bodyLimit: route.bodyLimit ?? SHORT_BODY }),
      handler: (request, reply) => handle(route, request, reply),
    });
  }

  async function handle(
    { body: schema, status = 200, call, scope, rest }: Route,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<FastifyReply> {
    const { raw, params, log } = request;
    const bytes = request.body as Uint8Array | undefined;
    const type = raw.headers["content-type"];
    const asked = {
      body: schema && (await options.bodies.read(schema, bytes, type)),
      params: params as Asked["params"],
      signal: callerGone(raw.socket),
    };
    const answer = await call(asked);
    if (scope === "admin") log.info({ command: rest }, "a command is carried out");
    if (typeof answer === "string") return reply.type(METRICS_TYPE).send(answer);
    return sendWritten(reply.code(status), await writeLists(answer as object));
  }
}

const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

function routesOf(app: FastifyInstance, options: MlnodeOptions): Route[] {
  const { gpus, version, chatsBesideJobs: poc_validation_inference, metrics } = options;
  const ups = new Ups({ ...options, log: app.log });
  const pow = new Pow(options);
  const models = new Models(options);
  const stop = async () => {
    await ups.stop();
    return { status: "OK" };
  };
  const begin = (body: unknown) => ups.begin(parseWith(UpRequest, body, "body"));
  const asks = { scope: "read" } as const;
  const commands = { scope: "admin" } as const;
  return [
    { rest: "GET /state", ...asks, call: () => ({ version, ...describeState(options) }) },
    {
      rest: "GET /versions",
      ...asks,
      call: () => ({ version, vllm_version: null, poc_validation_inference }),
    },
    { rest: "POST /stop", ...commands, call: stop },
    {
      rest: "POST /inference/up",
      ...commands,
      body: "UpRequest",
      call: async ({ body }) => {
        await begin(body);
        return { status: "OK" };
      },
    },
    {
      rest: "POST /inference/up/async",
      ...commands,
      body: "UpRequest",
      call: ({ body }) => {
        void begin(body).catch(() => {}); // its status says it
        return { status: "starting", message: "Inference startup initiated in background" };
      },
    },
    { rest: "GET /inference/up/status", ...asks, call: () => ups.status() },
    { rest: "POST /inference/down", ...commands, call: stop },

    { rest: "GET /inference/pow/status", ...asks, call: () => pow.status() },
    {
      rest: "POST /inference/pow/init/generate",
      ...commands,
      body: "ArtifactRound",
      call: ({ body, signal }) => pow.initGenerate(body, signal),
    },
    {
      rest: "POST /inference/pow/generate",
      scope: "validate",
      body: "ArtifactJob",
      bodyLimit: JOB_BODY,
      call: ({ body, signal }) => pow.generate(body, signal),
    },
    {
      rest: "GET /inference/pow/generate/:request_id",
      ...asks,
      call: ({ params }) => pow.job(params.request_id ?? ""),
    },
    { rest: "POST /inference/pow/stop", ...commands, call: () => pow.stop() },

    {
      rest: "POST /models/status",
      ...asks,
      body: "ModelName",
      call: ({ body }) => models.status(body),
    },
    {
      rest: "POST /models/download",
      ...commands,
      body: "ModelName",
      status: 202,
      call: ({ body }) => models.download(body),
    },
    {
      rest: "DELETE /models",
      ...commands,
      body: "ModelName",
      call: ({ body }) => models.remove(body),
    },
    { rest: "GET /models/list", ...asks, call: () => models.list() },
    { rest: "GET /models/space", ...asks, call: () => models.space() },

    {
      rest: "GET /gpu/devices",
      ...asks,
      call: async () => {
        const devices = await gpus.devices();
        return { devices, count: devices.length };
      },
    },
    {
      rest: "GET /gpu/driver",
      ...asks,
      call: async () => {
        const driver = await gpus.driver();
        if (driver) return driver;
        throw new Refused(503, "NVML not initialized. GPU features are not available.");
      },
    },
    ...(metrics ? [{ rest: "GET /metrics", ...asks, call: metrics } as const] : []),
  ];
}
