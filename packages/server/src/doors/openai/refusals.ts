/** What is refused under OpenAI's paths, whoever refuses it, in the words that OpenAI's clients read. */
import type { FastifyInstance, FastifyRequest } from "fastify";
import { ApiError } from "../../completions/api-error.ts";

/** The paths with a body. */
const ANSWERING_PATHS = [
  "/v1/chat/completions",
  "/v1/completions",
  "/tokenize",
  "/detokenize",
] as const;

/** What a node without inference says. */
const NO_INFERENCE = {
  detail: "Not Found",
  hint: "this node answers no chats and completions: it was started with --no-inference",
};

/** Puts an `error` beside the `detail` of refusals that have none: wrong methods, unknown paths. */
export function completeRefusals(
  app: FastifyInstance,
  isOpenAi: (request: FastifyRequest) => boolean,
): void {
  app.addHook("preSerialization", async (request, reply, payload) => {
    if (reply.statusCode < 400 || !isOpenAi(request)) return payload;
    const { detail, hint, error } = payload as Record<string, unknown>;
    if (error !== undefined || typeof detail !== "string") return payload;
    // Clients show the message alone.
    const message = typeof hint === "string" ? `${detail}: ${hint}` : detail;
    const { error: told } = new ApiError(reply.statusCode, message);
    return { ...(payload as object), error: told };
  });
}

/** A plugin: says what a node lacks that answers nothing itself and forwards nothing. */
export async function withoutInference(app: FastifyInstance): Promise<void> {
  const config = { scope: "inference" as const };
  app.removeAllContentTypeParsers();
  // The body is of no interest.
  app.addContentTypeParser("*", (_request, payload, done) => {
    payload.resume();
    done(null);
  });
  for (const path of ANSWERING_PATHS) {
    app.post(path, { config }, async (_request, reply) => reply.code(404).send(NO_INFERENCE));
  }
}
