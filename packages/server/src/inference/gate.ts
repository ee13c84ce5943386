/** While a round is active, inference steps aside (docs/protocol.md §3, inference gate). */
import type { ServerResponse } from "node:http";
import type { PocService } from "@proofmill/core";
import type { FastifyReply, FastifyRequest } from "fastify";

/** Seconds. A round lasts minutes, but callers should notice its end soon. */
const RETRY_AFTER = 5;

/** Our callers read `detail`, OpenAI's clients read `error`. */
export const GATE_ANSWER = {
  detail: "PoC in progress",
  error: {
    message: "PoC in progress",
    type: "service_unavailable",
    param: null,
    code: "poc_in_progress",
  },
};

/** The same in a round of artifacts, in the words of the network's own servers. */
const ARTIFACTS_ANSWER = {
  detail: GATE_ANSWER.detail,
  error: {
    ...GATE_ANSWER.error,
    message: "PoC generation is active. Inference requests are temporarily unavailable.",
    code: 503,
  },
};

/** While the broker has stopped the model. */
const STOPPED_ANSWER = {
  detail: "No vLLM backend available",
  error: { ...GATE_ANSWER.error, message: "No vLLM backend available", code: 503 },
};

/** The list of models is read at every poll, whatever the node does. */
const MODELS_PATH = "/v1/models";

type GateAnswer = typeof GATE_ANSWER | typeof ARTIFACTS_ANSWER;

/** Why a running request is cut off. */
export class GateClosed extends Error {
  override readonly name = "GateClosed";
  /** What its caller is answered. */
  readonly answer: GateAnswer;

  constructor(answer: GateAnswer) {
    super(answer.detail);
    this.answer = answer;
  }
}

/** Inference requests since the node started. */
interface GateCounters {
  refused: number;
  aborted: number;
}

interface GateOptions {
  service: PocService;
  /** Whether the broker has stopped the model; never by default. */
  isStopped?: () => boolean;
  /** Whether requests pass during VALIDATING. */
  allowWhileValidating: boolean;
  /** Whether GET /v1/models passes in every round, as managers of nodes that poll it want. */
  ungateModels?: boolean;
  /** Milliseconds that running requests have to end by themselves. */
  drainMs: number;
  /** Further paths that are inference, besides those under /v1/. */
  paths?: readonly string[];
}

/** Stands in front of every inference request, known path or not. */
export class InferenceGate {
  readonly counters: GateCounters = { refused: 0, aborted: 0 };
  readonly #options: GateOptions;
  readonly #running = new Set<AbortController>();
  #wasClosed = false;
  #drain: NodeJS.Timeout | undefined;

  constructor(options: GateOptions) {
    this.#options = options;
    options.service.on("change", () => this.#follow());
  }

  /** Requests that have passed and not ended. */
  get running(): number {
    return this.#running.size;
  }

  get isClosed(): boolean {
    const { service, allowWhileValidating } = this.#options;
    const { state } = service;
    return state === "GENERATING" || (state === "VALIDATING" && !allowWhileValidating);
  }

  /** What is answered while it is closed. */
  get answer(): GateAnswer {
    return this.#options.service.artifacts.isGenerating ? ARTIFACTS_ANSWER : GATE_ANSWER;
  }

  /** Whether the broker has stopped the model. */
  get isStopped(): boolean {
    return this.#options.isStopped?.() ?? false;
  }

  /** Answers a request that may not pass; leaves the others alone (null). */
  refuse(request: FastifyRequest, reply: FastifyReply): FastifyReply | null {
    const { isStopped } = this;
    if ((!isStopped && !this.isClosed) || !this.isInference(request)) return null;
    const { isGenerating } = this.#options.service.artifacts;
    if (((isStopped || isGenerating) && isModelList(request)) || this.#isUngated(request))
      return null;
    this.counters.refused++;
    return sendRefusal(reply, isStopped ? STOPPED_ANSWER : this.answer);
  }

  /**
   * Counts in a request that has passed, until it is answered or its caller is gone.
   *
   * @returns what aborts with GateClosed when it has to end
   */
  enter(response: ServerResponse): AbortSignal {
    const running = new AbortController();
    this.#running.add(running);
    response.once("close", () => this.#running.delete(running));
    return running.signal;
  }

  #follow(): void {
    const { isClosed } = this;
    if (isClosed === this.#wasClosed) return;
    this.#wasClosed = isClosed;
    clearTimeout(this.#drain);
    if (isClosed) this.#drain = setTimeout(() => this.#abortAll(), this.#options.drainMs).unref();
  }

  #abortAll(): void {
    this.counters.aborted += this.#running.size;
    for (const running of this.#running) running.abort(new GateClosed(this.answer));
    this.#running.clear();
  }

  #isUngated({ method, routeOptions }: FastifyRequest): boolean {
    const { ungateModels = false } = this.#options;
    return ungateModels && method === "GET" && /^\/v1\/models(\/|$)/.test(routeOptions.url ?? "");
  }

  /** Whether a request is for inference, whatever its method, and whether or not its path is known. */
  isInference(request: FastifyRequest): boolean {
    const { paths = [] } = this.#options;
    // The router decodes a path before it matches: /%761/models is /v1/models.
    const { url } = request.routeOptions;
    if (url === undefined) {
      return isInferencePath(request.url) || paths.includes(pathOf(request.url));
    }
    return url.startsWith("/v1/") || paths.includes(url);
  }
}

/** The 503 of docs/protocol.md §3. */
export function sendGateAnswer(reply: FastifyReply, { answer }: GateClosed): FastifyReply {
  return sendRefusal(reply, answer);
}

function sendRefusal(reply: FastifyReply, answer: object): FastifyReply {
  return reply.code(503).header("retry-after", RETRY_AFTER).send(answer);
}

function isModelList({ method, url }: FastifyRequest): boolean {
  return (method === "GET" || method === "HEAD") && pathOf(url) === MODELS_PATH;
}

/** The path of a request target; a target may name a host too (RFC 9112 §3.2.2). */
export function pathOf(target: string): string {
  return target.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, "").split(/[?#]/, 1)[0] ?? "";
}

/** Whether a request target lies under /v1/, however it is written. */
export function isInferencePath(target: string): boolean {
  // Each escape by itself: decodeURIComponent would give up on all for a broken one further on.
  const decoded = pathOf(target).replace(/%([0-7][0-9a-f])/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return decoded.startsWith("/v1/");
}
