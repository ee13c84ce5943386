/** OpenAI's paths, answered by the node's own model: a thin door to `completions/`. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { Calls } from "../../calls.ts";
import { ApiError, toApiError } from "../../completions/api-error.ts";
import type { BodyReader } from "../../completions/body-reader.ts";
import type { Delta, FinishReason } from "../../completions/choice.ts";
import {
  type Inference,
  type Ready,
  type Usage,
  unknownModel,
} from "../../completions/inference.ts";
import { usesTools } from "../../completions/plan.ts";
import type { BodyName, BodyOf } from "../../completions/requests.ts";
import {
  chatShape,
  completionShape,
  type Shape,
  type WholeChoice,
} from "../../completions/shapes.ts";
import { callerGone } from "../../http/caller.ts";
import { countBodies, type Part, Unfinished } from "../../http/connections/unfinished.ts";
import { GateClosed, type InferenceGate, sendGateAnswer } from "../../inference/gate.ts";
import { EventStream } from "./event-stream.ts";

/** Characters of an answer that is sent as a whole: they are written in one turn of the event loop. */
const MAX_WHOLE = 4 * 2 ** 20;
/** Bytes of all answers that are kept until they are whole, or until their callers read on. */
const MAX_KEPT = 32 * 2 ** 20;

interface OpenAiOptions {
  inference: Inference;
  gate: InferenceGate;
  reader: BodyReader;
  unfinished: Unfinished;
  /** Throws PocError MODEL_LOADING or RUNNER_LOST where there is no runner. */
  assertRunner: () => void;
  /** Whose requests are one caller's. */
  callerOf: (request: FastifyRequest["raw"]) => string;
  /** What `GET /v1/models` answers. */
  listModels: Calls["listModels"];
}

/** Names what of a body was left out, so that a slip of the pen can be noticed. */
const IGNORED = "x-ignored-fields";

/** Besides what lies under /v1/. */
export const TEXT_PATHS = ["/tokenize", "/detokenize"];

type Asked = FastifyRequest<{ Body?: Uint8Array; Params?: { "*"?: string } }>;

/** A plugin. */
export async function openAiRoutes(app: FastifyInstance, options: OpenAiOptions): Promise<void> {
  const { inference, gate, reader, unfinished, assertRunner, callerOf, listModels } = options;
  const config = { scope: "inference" as const };
  const kept = new Unfinished(0, MAX_KEPT);
  // Fastify refuses content types that it cannot read before a parser sees them.
  app.addHook("onRequest", async (request) => {
    request.headers = { "content-type": "application/octet-stream" };
  });
  app.removeAllContentTypeParsers();
  countBodies(app, unfinished);
  app.addContentTypeParser("*", { parseAs: "buffer" }, (_request, bytes, done) =>
    done(null, bytes),
  );
  app.setErrorHandler((error, request, reply) => {
    // A caller who hangs up as his stream begins is no fault, and reads no answer.
    if (reply.raw.destroyed) return;
    const { statusCode } = error as { statusCode?: number };
    const isCallers = statusCode !== undefined && statusCode >= 400 && statusCode < 500;
    const shown = isCallers
      ? new ApiError(statusCode, (error as Error).message)
      : toApiError(error);
    if (shown.status === 500 && !(error instanceof ApiError)) {
      request.log.error({ err: error }, "a request failed");
    }
    return sendError(reply, shown);
  });

  app.get("/v1/models/*", { config }, async (request: Asked, reply) => {
    const id = request.params?.["*"] ?? "";
    const { raw, log } = request;
    const caller = { signal: callerGone(raw.socket), log, scopes: ["inference"] as const };
    const { data } = await listModels(caller);
    const found = data.find((model) => model.id === id);
    return found ?? sendError(reply, unknownModel(id));
  });

  post("/v1/chat/completions", "chat", async (body, asked) => {
    assertRunner();
    const ready = await inference.chat(body, asked);
    return answer(asked, { ready, body, shape: chatShape(shapeOptions(body, ready)) });
  });
  post("/v1/completions", "completion", async (body, asked) => {
    assertRunner();
    const ready = await inference.completion(body, asked);
    return answer(asked, { ready, body, shape: completionShape(shapeOptions(body, ready)) });
  });
  post("/tokenize", "tokenize", (body, { signal }) => inference.tokenize(body, signal));
  post("/detokenize", "detokenize", (body) => inference.detokenize(body));

  /** A path with a body, within the gate: whoever is cut off by a round is told so. */
  function post<Name extends BodyName>(
    path: string,
    name: Name,
    handle: (body: BodyOf<Name>, asked: Running) => Promise<object>,
  ): void {
    app.post(path, { config }, async (request: Asked, reply) => {
      const closing = gate.enter(reply.raw);
      const end = new AbortController();
      closing.addEventListener("abort", () => end.abort(closing.reason));
      const cutOff = () => void request.raw.socket.destroy();
      const part = kept.begin(() => (reply.raw.headersSent ? cutOff() : end.abort(tooMuchKept())));
      reply.raw.once("close", () => {
        part.done();
        if (!reply.raw.writableFinished) end.abort(new ApiError(499, "the caller is gone"));
      });
      const { signal } = end;
      try {
        const bytes = request.body ?? new Uint8Array();
        const contentType = request.raw.headers["content-type"];
        const { body, unknown } = await reader.read(name, { bytes, contentType }, signal);
        if (unknown.length > 0) reply.header(IGNORED, unknown.join(", "));
        const caller = callerOf(request.raw);
        return await handle(body, { reply, caller, signal, part, cutOff });
      } catch (error) {
        // Whatever was cut off says so in its own words.
        if (closing.aborted) return sendGateAnswer(reply, closing.reason as GateClosed);
        throw error;
      }
    });
  }

  function shapeOptions(
    body: BodyOf<"chat"> | BodyOf<"completion">,
    { plan }: Ready,
  ): Parameters<typeof chatShape>[0] {
    return {
      model: inference.modelName,
      wantsLogprobs: plan.sessions[0]?.sampling.top_logprobs !== null,
      wantsTokenIds: body.return_token_ids ?? false,
      toolCalls: "messages" in body && usesTools(body) ? mostCalls(body) : 0,
      echo: plan.echo,
    };
  }
}

/** A request that may be cut off. */
interface Running {
  readonly reply: FastifyReply;
  readonly caller: string;
  /** Aborts when nobody waits for the answer any more, or a round takes the model. */
  readonly signal: AbortSignal;
  /** Told of what is kept of its answer. */
  readonly part: Part;
  /** Ends the connection. */
  cutOff(): void;
}

interface Answering {
  readonly ready: Ready;
  readonly body: BodyOf<"chat"> | BodyOf<"completion">;
  readonly shape: Shape;
}

async function answer(running: Running, answering: Answering): Promise<object> {
  const { body } = answering;
  return body.stream ? stream(running, answering) : whole(running, answering);
}

function stream(
  { reply, signal, part, cutOff }: Running,
  { ready, body, shape }: Answering,
): FastifyReply {
  const events = new EventStream(part, cutOff);
  for (const index of ready.plan.sessions.keys()) {
    const first = shape.first(index);
    if (first) events.send(first);
  }
  ready
    .answer(
      {
        delta: (index, delta) => {
          for (const event of shape.delta(index, delta)) events.send(event);
        },
        end: (index, last) => {
          for (const event of shape.end(index, last)) events.send(event);
        },
      },
      signal,
    )
    .then((usage) => {
      if (body.stream_options?.include_usage) events.send(shape.usage(usage));
      events.done();
    })
    .catch((error) => events.fail(errorOf(error)));
  return reply
    .header("cache-control", "no-cache")
    .type("text/event-stream; charset=utf-8")
    .send(events.source);
}

async function whole({ signal, part }: Running, { ready, shape }: Answering): Promise<object> {
  const tooLong = new AbortController();
  const choices = ready.plan.sessions.map(() => ({
    text: "",
    logprobs: [] as Delta["logprobs"][number][],
    tokenIds: [] as number[],
    finish: "stop" as FinishReason,
  }));
  let size = 0;
  const add = (index: number, delta: Delta) => {
    const choice = choices[index];
    if (!choice) return;
    choice.text += delta.text;
    choice.logprobs.push(...delta.logprobs);
    for (const id of delta.tokenIds) choice.tokenIds.push(id);
    const more = sizeOf(delta);
    part.add(more);
    size += more;
    if (size > MAX_WHOLE) tooLong.abort(new ApiError(400, TOO_LONG, { param: "stream" }));
  };
  const usage: Usage = await ready.answer(
    {
      delta: add,
      end: (index, last) => {
        add(index, last);
        const choice = choices[index];
        if (choice) choice.finish = last.finish;
      },
    },
    AbortSignal.any([signal, tooLong.signal]),
  );
  return shape.whole(choices satisfies WholeChoice[], usage);
}

function mostCalls({ parallel_tool_calls }: BodyOf<"chat">): number {
  return parallel_tool_calls === false ? 1 : Number.POSITIVE_INFINITY;
}

function tooMuchKept(): ApiError {
  const message = "Too many long answers are kept for their callers: ask for them as streams";
  return new ApiError(503, message, { code: "too_many_answers", retryAfter: 2 });
}

const TOO_LONG = `the answer has more than ${MAX_WHOLE / 2 ** 20} MiB: ask for it as a stream`;
/** About what a token's logprob takes in an answer, characters. */
const LOGPROB_SIZE = 80;

function sizeOf({ text, logprobs, tokenIds }: Delta): number {
  const shown = logprobs.reduce((sum, { top }) => sum + 1 + top.length, 0);
  return text.length + 8 * tokenIds.length + LOGPROB_SIZE * shown;
}

function errorOf(error: unknown): object {
  return error instanceof GateClosed ? error.answer.error : toApiError(error).error;
}

function sendError(
  reply: FastifyReply,
  { status, message, error, retryAfter }: ApiError,
): FastifyReply {
  if (retryAfter !== undefined) reply.header("retry-after", retryAfter);
  reply.type("application/json; charset=utf-8"); // a stream may have said another
  return reply.code(status).send({ detail: message, error });
}
