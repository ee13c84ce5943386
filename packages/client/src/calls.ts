/** One call: its time limit, its retries, and its failure as one of our errors. */
import { pauseAfter } from "@proofmill/core/backoff";
import type { Operation, Refusal } from "@proofmill/core/wire";
import { createTRPCUntypedClient, httpLink, TRPCClientError } from "@trpc/client";
import {
  ConnectionError,
  ForbiddenError,
  InvalidRequestError,
  NodeError,
  NotANodeError,
  PocClientError,
  type PocClientErrorCode,
  RoundError,
  TimeoutError,
  TooLargeError,
  UnavailableError,
} from "./errors.ts";
import type { ValidationIssue } from "./types.ts";

const BACKOFF = { first: 250, most: 10_000 };

/** HTTP status → code, for refusals that come without one. */
const CODES: Readonly<Record<number, PocClientErrorCode>> = {
  400: "BAD_REQUEST",
  401: "UNAUTHORIZED",
  403: "FORBIDDEN",
  404: "NOT_A_NODE",
  413: "TOO_LARGE",
  429: "TOO_MANY_REQUESTS",
};

/** What the node has answered to a method, success or refusal. */
export interface PocResponse {
  /** E.g. `initGenerate`. */
  readonly method: string;
  /** HTTP status. */
  readonly status: number;
  /** The node's log has the same; null from whoever is no node. */
  readonly requestId: string | null;
}

export interface CallOptions {
  /** Ends the call; it throws the signal's reason. */
  signal?: AbortSignal;
  /** Milliseconds for each attempt. */
  timeoutMs?: number;
  /** Further attempts after a failure that allows them. */
  retries?: number;
  /** Hears of each answer, those that are tried again too. It must not throw. */
  onResponse?: ((response: PocResponse) => void) | undefined;
}

/** An operation that can be called. */
export type Procedure = Operation & { procedure: string };

export interface Call extends CallOptions {
  /** The method that is called. */
  method: string;
  operation: Procedure;
  input?: unknown;
  timeoutMs: number;
  retries: number;
}

export interface Endpoint {
  /** Base address without a slash at its end. */
  url: string;
  apiKey?: string | undefined;
  fetch?: typeof fetch | undefined;
}

/** What shows the endpoint's key, if it has one: headers, or a socket's first message. */
export function authorization({ apiKey }: Endpoint): Record<string, string> {
  return apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` };
}

/** Makes the function that does calls. */
export function createCaller(endpoint: Endpoint): (call: Call) => Promise<unknown> {
  const { url } = endpoint;
  const send = endpoint.fetch ?? globalThis.fetch;

  /** One for each call, which its answers are told to. */
  const clientFor = ({ method, onResponse }: Call) =>
    createTRPCUntypedClient({
      links: [
        httpLink({
          url: `${url}/trpc`,
          fetch: async (to, init) => {
            const response = await send(to as string, init as RequestInit);
            const { status } = response;
            onResponse?.({ method, status, requestId: requestIdOf(response) });
            if (isJson(response)) return response;
            await response.body?.cancel();
            throw foreignAnswer(status, url);
          },
          headers: () => authorization(endpoint),
        }),
      ],
    });

  async function attempt(call: Call): Promise<unknown> {
    const { operation, input, signal, timeoutMs } = call;
    const { kind, procedure } = operation;
    const client = clientFor(call);
    const timeout = AbortSignal.timeout(timeoutMs);
    const either = signal ? AbortSignal.any([signal, timeout]) : timeout;
    try {
      const options = { signal: either };
      return kind === "query"
        ? await client.query(procedure, input, options)
        : await client.mutation(procedure, input, options);
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      if (timeout.aborted) {
        throw new TimeoutError(`no answer from ${url} within ${timeoutMs} ms`, {
          code: "TIMEOUT",
          cause: error,
        });
      }
      throw toClientError(error, url);
    }
  }

  return async (call) => {
    for (let retries = 0; ; retries++) {
      call.signal?.throwIfAborted();
      try {
        return await attempt(call);
      } catch (error) {
        const { repeatable } = call.operation;
        if (retries >= call.retries || !mayRepeat(error, repeatable)) throw error;
        const atLeast = askedPause(error);
        await pause(pauseAfter(retries + 1, { ...BACKOFF, atLeast }), call.signal);
      }
    }
  };
}

function requestIdOf({ headers }: Response): string | null {
  return headers.get("x-request-id");
}

function isJson(response: Response): boolean {
  return /^application\/json\b/i.test(response.headers.get("content-type") ?? "");
}

/** What somebody answered who is no node: a proxy whose node is away, or another server. */
export function foreignAnswer(status: number, url: string, cause?: unknown): PocClientError {
  return status >= 500
    ? new NodeError(`${url} answered ${status}`, { code: "HTTP", status, cause })
    : new NotANodeError(`${url} does not answer as a node does: is this its base address?`, {
        code: "NOT_A_NODE",
        status,
        cause,
      });
}

/** What may have been done is repeated only where twice is the same as once. */
function mayRepeat(error: unknown, isRepeatable: boolean): boolean {
  // The node said that it did nothing, and when it may do it.
  if (error instanceof UnavailableError) return error.retryAfter !== null;
  if (error instanceof ConnectionError) return isRepeatable || wasNeverSent(error);
  if (error instanceof TimeoutError) return isRepeatable;
  // A proxy whose node is away.
  const { status } = error as { status?: unknown };
  return isRepeatable && (status === 502 || status === 504);
}

function wasNeverSent(error: ConnectionError): boolean {
  let cause: unknown = error.cause;
  for (let depth = 0; depth < 5 && cause instanceof Error; depth++) {
    const { code } = cause as { code?: unknown };
    if (code === "ECONNREFUSED" || code === "ENOTFOUND" || code === "EAI_AGAIN") return true;
    cause = cause.cause;
  }
  return false;
}

/** What the node asked for, in milliseconds; 0: nothing. */
function askedPause(error: unknown): number {
  return error instanceof UnavailableError ? (error.retryAfter ?? 0) * 1000 : 0;
}

/** Resolves after a time; throws the signal's reason as soon as it aborts. */
export function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", stop, { once: true });
    if (signal?.aborted) stop();
  });
}

interface ErrorData {
  code: string;
  httpStatus: number;
  refusal: Refusal | null;
  request_id: string | null;
}

/** An error of tRPC's client as one of ours. */
export function toClientError(error: unknown, url: string): PocClientError {
  if (!(error instanceof TRPCClientError)) {
    return noAnswer(error, url);
  }
  if (error.cause instanceof PocClientError) return error.cause;
  const data = error.data as ErrorData | undefined;
  const response = error.meta?.response as Response | undefined;
  if (!data || typeof data.httpStatus !== "number") {
    const refusal = (error.meta?.responseJSON as { detail?: unknown } | undefined)?.detail;
    // Said before any call is looked at: a host or a page that the node does not answer to.
    const status = response?.status;
    if ((status === 401 || status === 403) && typeof refusal === "string") {
      return new ForbiddenError(refusal, {
        code: CODES[status] ?? "FORBIDDEN",
        status,
        requestId: response ? requestIdOf(response) : null,
        cause: error,
      });
    }
    if (status === 429 && typeof refusal === "string") {
      return new UnavailableError(refusal, {
        code: "TOO_MANY_REQUESTS",
        status,
        requestId: response ? requestIdOf(response) : null,
        retryAfter: Number(response?.headers.get("retry-after")) || null,
        cause: error,
      });
    }
    if (response) return foreignAnswer(response.status, url, error);
    return noAnswer(error.cause ?? error, url);
  }
  const { refusal, request_id: requestId, httpStatus: status } = data;
  const options = {
    code: refusal?.code ?? CODES[status] ?? "HTTP",
    status,
    requestId,
    hint: refusal?.hint ?? null,
    cause: error,
  };
  const { message } = error;
  switch (status) {
    case 400:
    case 409:
      return new RoundError(message, options);
    case 401:
    case 403:
      return new ForbiddenError(message, options);
    case 404:
      // A node that knows the call, and not what is asked for.
      if (refusal) return new NodeError(message, options);
      return new NotANodeError(`${url} does not know this call: ${message}`, options);
    case 413:
      return new TooLargeError(message, options);
    case 422:
      return new InvalidRequestError(message, {
        ...options,
        issues: issuesIn(refusal?.detail),
      });
    case 429:
    case 503:
      return new UnavailableError(message, {
        ...options,
        retryAfter: refusal?.retry_after ?? null,
      });
    default:
      return new NodeError(message, options);
  }
}

/** Those of them that are issues: whoever answers may be no node. */
function issuesIn(detail: unknown): ValidationIssue[] {
  if (!Array.isArray(detail)) return [];
  return detail.filter((each) => Array.isArray(each?.loc) && typeof each.msg === "string");
}

/** Node's names for a certificate that none of the known authorities has signed. */
const UNTRUSTED = new Set([
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
]);

/** The connection could not be made, or broke before an answer. */
export function noAnswer(error: unknown, url: string): ConnectionError {
  return new ConnectionError(`no answer from ${url}: ${messageOf(error, url)}`, {
    code: "CONNECTION",
    cause: error,
  });
}

function messageOf(error: unknown, url: string): string {
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  if (!(cause instanceof Error)) return String(cause);
  const { code } = cause as { code?: string };
  // OpenSSL's own words are a line of its source.
  if (code === "ERR_SSL_WRONG_VERSION_NUMBER") return "it does not speak TLS, as https:// wants";
  if (UNTRUSTED.has(code ?? "")) {
    return `${cause.message}: NODE_EXTRA_CA_CERTS names a file of the authorities to trust`;
  }
  if (code === "UND_ERR_SOCKET" && /^http:/i.test(url)) {
    return `${cause.message}; a node that has a certificate is called by https://`;
  }
  return cause.message || (code ?? cause.name);
}
