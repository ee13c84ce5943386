/** What a node says of itself: health, version, model. */
import { ErrorAnswer, type ModelInfo, PocError, type PocService } from "@proofmill/core";
import type { FastifyInstance } from "fastify";
import { z } from "zod";
import type { Upstream } from "../../inference/upstream.ts";
import { version } from "../../version.ts";

/** The node's model, loaded or not. */
export interface NodeModel {
  /** As /v1 calls it. */
  readonly name: string;
  /** Of the runner that is or was there; null while it loads. */
  readonly info: ModelInfo | null;
}

export interface NodeRoutesOptions {
  service: PocService;
  model: NodeModel;
  /** Where inference is forwarded to; it has its own /v1/models then. */
  upstream: Upstream | null;
}

const ModelList = z.object({
  object: z.literal("list"),
  data: z.array(
    z.object({
      id: z.string(),
      object: z.literal("model"),
      created: z.int().describe("When this node started, in seconds since 1970."),
      owned_by: z.string(),
      max_model_len: z.int().describe("The model's context in tokens."),
    }),
  ),
});

const Health = z.object({
  status: z.literal("ok"),
  upstream: z
    .enum(["ok", "unreachable"])
    .optional()
    .describe("The server that inference is forwarded to, as it was within the last seconds."),
});

const unavailable = ErrorAnswer.describe(
  "The model is loading, its runner is gone, or nothing can be stored: the reason follows a colon.",
);

/** The inference gate adds what OpenAI's clients read. */
const gated = ErrorAnswer.extend({
  error: z
    .object({ message: z.string(), type: z.string(), param: z.null(), code: z.string() })
    .optional(),
}).describe("A round is active, the model is loading, or its runner is gone.");

/** Adds `/health`, `/version` and `/v1/models`. */
export function nodeRoutes(app: FastifyInstance, options: NodeRoutesOptions): void {
  app.get("/health", {
    schema: {
      tags: ["Node"],
      summary: "Whether model, runner and store work",
      response: { 200: Health, 503: unavailable },
    },
    handler: async () => {
      readyModel(options);
      const { upstream, service } = options;
      if (service.storeFault !== null) {
        throw new PocError("STORE_FAILED", {
          detail: `Could not be stored: ${service.storeFault}`,
        });
      }
      return { status: "ok", ...(upstream ? { upstream: await upstream.health() } : {}) };
    },
  });

  app.get("/version", {
    schema: {
      tags: ["Node"],
      summary: "proofmill's version",
      response: { 200: z.object({ version: z.string() }) },
    },
    handler: async () => ({ version }),
  });

  if (options.upstream) return;
  const created = Math.floor(Date.now() / 1000);
  app.get("/v1/models", {
    schema: {
      tags: ["Inference"],
      summary: "The model that this node holds, in OpenAI's shape",
      response: { 200: ModelList, 503: gated },
    },
    handler: async () => ({
      object: "list",
      data: [
        {
          id: options.model.name,
          object: "model",
          created,
          owned_by: "proofmill",
          max_model_len: readyModel(options).max_seq_len,
        },
      ],
    }),
  });
}

/** @throws PocError MODEL_LOADING or RUNNER_LOST unless the runner works */
function readyModel({ service, model }: NodeRoutesOptions): ModelInfo {
  if (!model.info) throw new PocError("MODEL_LOADING");
  if (!service.ready) throw new PocError("RUNNER_LOST");
  return model.info;
}
