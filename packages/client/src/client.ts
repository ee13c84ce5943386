/** The client of a node. */
import { type Call, type CallOptions, createCaller, type Endpoint } from "./calls.ts";
import type {
  CommandAnswer,
  InitBody,
  NodeInfo,
  ProofBatch,
  Status,
  StatusEvent,
  StatusPage,
  ValidateAnswer,
  ValidNoncesEvent,
} from "./types.ts";
import { type WatchOptions, watchStatus, watchValidNonces } from "./watch.ts";

export type { CallOptions, WatchOptions };

const TIMEOUT_MS = 30_000;
/** A proof of thousands of nonces keeps a machine without a GPU busy. */
const VALIDATE_TIMEOUT_MS = 600_000;
const RETRIES = 2;

export interface PocClientOptions {
  /** The node's base address, e.g. `http://127.0.0.1:8000`. */
  url: string;
  /** Sent as a bearer token. */
  apiKey?: string;
  /** Milliseconds for each attempt; 30 s by default, 10 minutes for `validate`. */
  timeoutMs?: number;
  /** Further attempts after a failure, where repeating is safe; 2 by default. */
  retries?: number;
  /** Instead of the global one. */
  fetch?: typeof fetch;
}

/**
 * A node's commands, as flat methods. All take `{ signal, timeoutMs, retries }` last, and throw a
 * `PocClientError`, or the signal's reason.
 */
export interface PocClient {
  /** Sets up a round. */
  init(body: InitBody, options?: CallOptions): Promise<CommandAnswer>;
  /** Sets up a round and searches; again with the same body, nothing restarts. */
  initGenerate(body: InitBody, options?: CallOptions): Promise<CommandAnswer>;
  /** Sets up a round and validates; again with the same body, nothing restarts. */
  initValidate(body: InitBody, options?: CallOptions): Promise<CommandAnswer>;
  /** Searches in the present round, on from where it stopped. */
  phaseGenerate(options?: CallOptions): Promise<CommandAnswer>;
  /** Validates in the present round. */
  phaseValidate(options?: CallOptions): Promise<CommandAnswer>;
  /** Recomputes the distances of a proof and judges it. */
  validate(proof: ProofBatch, options?: CallOptions): Promise<ValidateAnswer>;
  /** State, counters and finds; `{ since, limit }` pages the finds. */
  status(page?: StatusPage, options?: CallOptions): Promise<Status>;
  /** Stops the round; its results stay. */
  stop(options?: CallOptions): Promise<CommandAnswer>;
  /** Model, arithmetic, sizes, version and delivery counters. */
  nodeInfo(options?: CallOptions): Promise<NodeInfo>;
  /**
   * The finds of this round and of those that follow, each once and in order, over as many
   * connections as it takes; from the round's beginning, or after an event that was seen before.
   * Ends when `signal` aborts.
   *
   * @example
   * for await (const event of client.watchValidNonces({ signal })) {
   *   if (event.type === "nonces") console.log(event.nonces, event.distances);
   * }
   */
  watchValidNonces(
    options?: WatchOptions & { lastEventId?: string | undefined },
  ): AsyncGenerator<ValidNoncesEvent, void>;
  /** State, counters and rates: at once, and as they change, at most four times a second. */
  watchStatus(options?: WatchOptions): AsyncGenerator<StatusEvent, void>;
}

/**
 * Makes a client; nothing is sent until a method is called.
 *
 * @throws TypeError for a `url` that is not http or https
 *
 * @example
 * const client = createPocClient({ url: "http://127.0.0.1:8000" });
 * const { pow_status } = await client.initGenerate({
 *   block_hash: "abc123", block_height: 100, public_key: "node1",
 *   r_target: 1.36, node_id: 0, node_count: 1,
 * });
 */
export function createPocClient(options: PocClientOptions): PocClient {
  const { apiKey, retries = RETRIES, timeoutMs } = options;
  const endpoint: Endpoint = { url: baseUrl(options.url), apiKey, fetch: options.fetch };
  const send = createCaller(endpoint);

  const call = <T>(
    what: Pick<Call, "kind" | "path" | "isRepeatable"> & { input?: unknown; slow?: boolean },
    each: CallOptions = {},
  ): Promise<T> => {
    const { slow, ...rest } = what;
    return send({
      timeoutMs: timeoutMs ?? (slow ? VALIDATE_TIMEOUT_MS : TIMEOUT_MS),
      retries,
      ...rest,
      ...each,
    }) as Promise<T>;
  };
  /** A command that leads to the same state when it comes twice. */
  const repeatable = (path: string, each?: CallOptions, input?: unknown) =>
    call<CommandAnswer>({ kind: "mutation", path, input, isRepeatable: true }, each);

  return {
    // Each makes another round.
    init: (input, each) =>
      call({ kind: "mutation", path: "pow.init", input, isRepeatable: false }, each),
    initGenerate: (body, each) => repeatable("pow.initGenerate", each, body),
    initValidate: (body, each) => repeatable("pow.initValidate", each, body),
    phaseGenerate: (each) => repeatable("pow.phaseGenerate", each),
    phaseValidate: (each) => repeatable("pow.phaseValidate", each),
    stop: (each) => repeatable("pow.stop", each),
    // Each is pushed to the round's callback, and costs a computation.
    validate: (input, each) =>
      call(
        { kind: "mutation", path: "pow.validate", input, isRepeatable: false, slow: true },
        each,
      ),
    status: (input, each) =>
      call({ kind: "query", path: "pow.status", input, isRepeatable: true }, each),
    nodeInfo: (each) => call({ kind: "query", path: "node.info", isRepeatable: true }, each),
    watchValidNonces: (each = {}) => watchValidNonces(endpoint, each),
    watchStatus: (each = {}) => watchStatus(endpoint, each),
  };
}

function baseUrl(text: string): string {
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text)) {
    throw new TypeError(
      `url: expected a node's base address like http://127.0.0.1:8000, got ${text}`,
    );
  }
  const url = new URL(text);
  if (url.username !== "" || url.password !== "") {
    throw new TypeError("url: credentials in a node's address are not sent; use apiKey");
  }
  return `${url.origin}${url.pathname.replace(/\/+$/, "")}`;
}
