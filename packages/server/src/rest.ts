/** The REST paths of docs/protocol.md §3: a thin door to the service. */
import {
  CommandAnswer,
  ErrorAnswer,
  type InitDefaults,
  initRequestSchema,
  invalidJson,
  type PocService,
  ProofBatch,
  Status,
  StatusPage,
  ValidateAnswer,
} from "@proofmill/core";
import type { FastifyInstance, FastifyRequest } from "fastify";

export const POW_PREFIX = "/api/v1/pow";

/** 4,096 nonces with their distances take 180 KB; the rest is room for a greater limit. */
export const MAX_BODY_BYTES = 8 * 1024 * 1024;

const ERRORS = { 400: ErrorAnswer, 422: ErrorAnswer, 503: ErrorAnswer };

export interface RestOptions {
  service: PocService;
  defaults: InitDefaults;
}

/**
 * Installs the eight paths. Schemas are for the API document alone: the service parses, so that the
 * order of refusals is the same through every door.
 */
export async function installRest(app: FastifyInstance, options: RestOptions): Promise<void> {
  const { service } = options;
  const InitRequest = initRequestSchema({ defaults: options.defaults });

  // Bodies come as bytes, whatever their type: a path without a body never looks at them.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, done) => done(null, body));
  // Before the body is read: a node without PoC says so whatever is sent.
  app.addHook("onRequest", async () => service.assertEnabled());

  const command = (path: string, summary: string, run: () => Promise<CommandAnswer>) => {
    const schema = { summary, tags: ["PoC"], response: { 200: CommandAnswer, ...ERRORS } };
    app.post(path, { schema }, () => run());
  };
  const init = (path: string, summary: string, run: (body: unknown) => Promise<CommandAnswer>) => {
    const response = { 200: CommandAnswer, ...ERRORS };
    const schema = { summary, tags: ["PoC"], body: InitRequest, response };
    app.post(path, { schema }, (request) => run(readBody(service, request)));
  };

  init("/init", "Set up a round", (body) => service.init(body));
  init("/init/generate", "Set up a round and search", (body) => service.initGenerate(body));
  init("/init/validate", "Set up a round and validate", (body) => service.initValidate(body));
  command("/phase/generate", "Search in the round that is set up", () => service.phaseGenerate());
  command("/phase/validate", "Validate in the round that is set up", () => service.phaseValidate());
  command("/stop", "Stop the round; its results stay", () => service.stop());

  const validate = {
    summary: "Recompute and judge a proof",
    tags: ["PoC"],
    body: ProofBatch,
    response: { 200: ValidateAnswer, ...ERRORS, 413: ErrorAnswer },
  };
  app.post("/validate", { schema: validate }, (request) =>
    service.validate(readBody(service, request)),
  );

  const status = {
    summary: "The node's state, counts and finds",
    tags: ["PoC"],
    querystring: StatusPage,
    response: { 200: Status, 422: ErrorAnswer, 503: ErrorAnswer },
  };
  app.get("/status", { schema: status }, async (request) => service.status(request.query));
}

/** The body as a JSON value; a node that is not ready says so before the body is looked at. */
function readBody(service: PocService, request: FastifyRequest): unknown {
  service.assertReady();
  const bytes = request.body;
  if (!(bytes instanceof Buffer) || bytes.length === 0) return undefined;
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw invalidJson(bytes.toString("utf8"));
  }
  if (!isJson(request.headers["content-type"])) return text; // not an object, and refused as such
  try {
    return JSON.parse(text);
  } catch {
    throw invalidJson(text);
  }
}

/**
 * Without a content type a body counts as JSON. Any other type does not: a web page can send one
 * anywhere without being asked, and must not be able to command a node on its reader's machine.
 */
function isJson(contentType: string | undefined): boolean {
  return contentType === undefined || /^application\/([\w.-]+\+)?json\s*(;|$)/i.test(contentType);
}

