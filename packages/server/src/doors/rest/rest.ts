/** The REST paths of the table of operations (docs/protocol.md §3): a thin door to what is called. */
import type { Operation, OperationTable, PocService } from "@proofmill/core";
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { Guard } from "../../access/guard.ts";
import { type Caller, type Calls, callOf } from "../../calls.ts";
import { allowedMethods, answerNotFound } from "../../http/answers.ts";
import { type Bodies, JOB_BODY } from "../../http/bodies/bodies.ts";
import { callerGone } from "../../http/caller.ts";
import { countBodies, type Unfinished } from "../../http/connections/unfinished.ts";
import { sendWritten, writeLists } from "../../http/written.ts";
import { type ArtifactsOffer, bodyFor, callForBoth, isOffered } from "./artifacts.ts";

const POW_PREFIX = "/api/v1/pow";
/** What is asked for in a path. */
const NAMED = /\{(\w+)\}/;

declare module "fastify" {
  interface FastifyContextConfig {
    /** The name of the operation that the route is for. */
    operation?: string;
  }
}

interface RestOptions<Table extends OperationTable> {
  operations: Table;
  calls: Calls<Table>;
  service: Pick<PocService, "assertEnabled" | "assertReady">;
  /** Rounds of artifacts, where the node takes them. */
  artifacts: ArtifactsOffer | null;
  bodies: Bodies;
  unfinished: Unfinished;
  guard: Pick<Guard, "keyOf" | "scopesOf">;
}

/** A plugin. What callers send reaches the calls unchecked: they alone say what is right. */
export async function restRoutes<Table extends OperationTable>(
  app: FastifyInstance,
  options: RestOptions<Table>,
): Promise<void> {
  const { operations, service, artifacts } = options;

  // Fastify refuses content types that it cannot read before a parser sees them. Here the paths
  // without a body never look at them, and the others judge what was really sent.
  app.addHook("onRequest", async (request) => {
    request.headers = { "content-type": "application/octet-stream" };
  });
  app.removeAllContentTypeParsers();

  const names = Object.entries<Operation>(operations)
    .filter(([name, operation]) => operation.rest && isOffered(name, operation, artifacts))
    .map(([name]) => name);
  const isPow = (name: string) => operations[name]?.rest?.includes(` ${POW_PREFIX}/`) ?? false;
  await routes(
    app,
    names.filter((name) => !isPow(name)),
    options,
  );
  await app.register(
    async (scope) => {
      scope.setNotFoundHandler((request, reply) => {
        // With PoC off a path of ours says so to every method: that comes before all else.
        if (allowedMethods(request).length > 0) service.assertEnabled();
        return answerNotFound(request, reply);
      });
      await routes(scope, names.filter(isPow), options);
    },
    { prefix: POW_PREFIX },
  );
}

/** Routes for these operations, in a scope for those with a body and in one for the others. */
async function routes(
  app: FastifyInstance,
  names: readonly string[],
  { operations, calls, service, artifacts, bodies, unfinished, guard }: RestOptions<OperationTable>,
): Promise<void> {
  await app.register(async (scope) => {
    // What is refused before any body (503) is refused before the body is read.
    scope.addHook("onRequest", async ({ routeOptions }) => {
      const { operation = "" } = routeOptions.config;
      const { refusals = [] } = operations[operation] ?? {};
      // What begins rounds of either kind is refused in other words for one of artifacts.
      const isEither = artifacts !== null && operation === "initGenerate";
      if (refusals.includes("MODEL_LOADING") && !isEither) service.assertReady();
    });
    countBodies(scope, unfinished);
    scope.addContentTypeParser("*", { parseAs: "buffer" }, (_request, bytes, done) =>
      done(null, bytes),
    );
    for (const name of names) if (operations[name]?.body) route(scope, name);
  });
  await app.register(async (scope) => {
    // A body stays unread; Node drops it once the answer is out.
    scope.addContentTypeParser("*", (_request, _payload, done) => done(null));
    for (const name of names) if (!operations[name]?.body) route(scope, name);
  });

  function route(scope: FastifyInstance, name: string): void {
    const { rest = "", body: ofTable, query, scope: needed } = operations[name] ?? {};
    const body = bodyFor(name, ofTable, artifacts);
    const [method = "", path = ""] = rest.split(" ");
    const call = callForBoth(name, callOf(operations, calls, name), artifacts);
    scope.route({
      method,
      url: path.slice(scope.prefix.length).replace(NAMED, ":$1"),
      config: { operation: name, ...(needed && { scope: needed }) },
      ...(body === "ArtifactJob" && { bodyLimit: JOB_BODY }),
      handler: async (request: FastifyRequest<{ Body?: Uint8Array }>, reply) => {
        const { "content-type": contentType } = request.raw.headers;
        const caller = callerOf(request, guard);
        const asked = NAMED.test(path) ? request.params : request.query;
        const sent = { bytes: request.body, contentType };
        const input = body ? await bodies.read(body, sent, caller.signal) : query && asked;
        const answer = await call(input, caller);
        return sendWritten(reply, await writeLists(answer as object));
      },
    });
  }
}

function callerOf(
  { raw, log }: FastifyRequest,
  guard: RestOptions<OperationTable>["guard"],
): Caller {
  return { signal: callerGone(raw.socket), log, scopes: guard.scopesOf(guard.keyOf(raw)) };
}
