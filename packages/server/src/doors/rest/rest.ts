/** The eight paths of docs/protocol.md §3: a thin door to the service. */
import {
  CommandAnswer,
  ErrorAnswer,
  type InitDefaults,
  initRequestSchema,
  type PocService,
  ProofBatch,
  Status,
  StatusPage,
  ValidateAnswer,
} from "@proofmill/core";
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { z } from "zod";
import { allowedMethods, answerNotFound } from "../../http/answers.ts";
import type { Bodies } from "../../http/bodies.ts";
import { callerGone } from "../../http/caller.ts";
import { countBodies, type Unfinished } from "../../http/unfinished.ts";
import { sendWritten, writeLists } from "../../http/written.ts";

export const POW_PREFIX = "/api/v1/pow";

export interface RestOptions {
  service: PocService;
  bodies: Bodies;
  unfinished: Unfinished;
  /** For the documentation only: the service fills them in. */
  defaults: InitDefaults;
}

/** What is done with a body; the signal aborts when the caller is gone. */
type Call = (body: unknown, signal: AbortSignal) => Promise<object>;

const TAGS = ["Proof of Compute"];
const REFUSED = {
  400: ErrorAnswer.describe("The round does not allow it."),
  503: ErrorAnswer.describe("PoC is off, or the model is loading or gone."),
};
/** Where something is computed before the answer. */
const FAILED: Record<string, object> = {
  "/validate": { 500: ErrorAnswer.describe("The job that recomputes the distances failed.") },
};
const INVALID = { 422: ErrorAnswer.describe("The body does not fit.") };

/** A plugin. What callers send reaches the service unchecked: it alone says what is right. */
export async function restRoutes(app: FastifyInstance, options: RestOptions): Promise<void> {
  const { service } = options;

  // Fastify refuses content types that it cannot read before a parser sees them. Here the paths
  // without a body never look at them, and the others judge what was really sent.
  app.addHook("onRequest", async (request) => {
    request.headers = { "content-type": "application/octet-stream" };
  });
  app.removeAllContentTypeParsers();

  app.setNotFoundHandler((request, reply) => {
    // With PoC off a path of ours says so to every method: that comes before all else.
    if (allowedMethods(request).length > 0) service.assertEnabled();
    return answerNotFound(request, reply);
  });

  await app.register(async (scope) => bodyRoutes(scope, options));
  await app.register(async (scope) => bodylessRoutes(scope, service));
}

function bodyRoutes(
  app: FastifyInstance,
  { service, bodies, unfinished, defaults }: RestOptions,
): void {
  // What is refused before any body (503) is refused before the body is read.
  app.addHook("onRequest", async () => service.assertReady());
  countBodies(app, unfinished);
  app.addContentTypeParser("*", { parseAs: "buffer" }, (_request, bytes, done) =>
    done(null, bytes),
  );
  const init = initRequestSchema({ defaults });
  route("/init", init, {
    summary: "Begin a round",
    answer: CommandAnswer,
    call: (body, signal) => service.init(body, { signal }),
  });
  route("/init/generate", init, {
    summary: "Begin a round and search",
    answer: CommandAnswer,
    call: (body, signal) => service.initGenerate(body, { signal }),
  });
  route("/init/validate", init, {
    summary: "Begin a round and validate",
    answer: CommandAnswer,
    call: (body, signal) => service.initValidate(body, { signal }),
  });
  route("/validate", ProofBatch, {
    summary: "Recompute the distances of a proof and judge it",
    answer: ValidateAnswer,
    call: (body, signal) => service.validate(body, { signal }),
  });

  function route(
    path: string,
    body: z.ZodType,
    { summary, answer, call }: { summary: string; answer: z.ZodType; call: Call },
  ): void {
    const kind = body === init ? "init" : "proof";
    app.post(path, {
      schema: {
        tags: TAGS,
        summary,
        body,
        response: {
          200: answer,
          ...REFUSED,
          413: ErrorAnswer.describe("The body or its list of nonces is too long."),
          ...INVALID,
          ...FAILED[path],
        },
      },
      handler: async (request: FastifyRequest<{ Body?: Uint8Array }>, reply) => {
        const { "content-type": type } = request.raw.headers;
        const body = await bodies.read(kind, request.body, type);
        const answer = await call(body, callerGone(request.raw.socket));
        return sendWritten(reply, await writeLists(answer));
      },
    });
  }
}

function bodylessRoutes(app: FastifyInstance, service: PocService): void {
  // A body stays unread; Node drops it once the answer is out.
  app.addContentTypeParser("*", (_request, _payload, done) => done(null));
  route("/phase/generate", "Search in the present round", (caller) =>
    service.phaseGenerate(caller),
  );
  route("/phase/validate", "Validate in the present round", (caller) =>
    service.phaseValidate(caller),
  );
  route("/stop", "Stop the round and keep its results", () => service.stop(), {
    503: REFUSED[503],
  });
  app.get("/status", {
    schema: {
      tags: TAGS,
      summary: "State, counters and finds",
      querystring: StatusPage,
      response: { 200: Status, 503: REFUSED[503], ...INVALID },
    },
    handler: (request, reply) => sendWritten(reply, service.status(request.query)),
  });

  function route(
    path: string,
    summary: string,
    call: (caller: { signal: AbortSignal }) => Promise<CommandAnswer>,
    refused: object = REFUSED,
  ): void {
    app.post(path, {
      schema: { tags: TAGS, summary, response: { 200: CommandAnswer, ...refused } },
      handler: async (request, reply) => {
        const signal = callerGone(request.raw.socket);
        return sendWritten(reply, await call({ signal }));
      },
    });
  }
}
