/** Sends one POST to an aggregator, unless its name leads to an address that is never called. */
import { type LookupAddress, type LookupOptions, lookup } from "node:dns";
import type { LookupFunction } from "node:net";
import { isNamedHost, isRefusedAddress } from "@proofmill/core";
import { Agent, buildConnector, request } from "undici";
import { version } from "../version.ts";
import type { DeliveryKind } from "./outbox.ts";
import { SIGNATURE_HEADER, sign } from "./signature.ts";

/** For the whole request and its answer, milliseconds. */
const TIMEOUT = 10_000;
/** An answer is read to its end and dropped; one that is longer is taken for one without an end. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
/** When the connection breaks while a longer body is sent, its length may be the reason. */
const LONG_BODY_BYTES = 4096;
/** So much is read of an answer that refuses: what it says of the reason. */
const MAX_REASON_BYTES = 4096;
/** Answers of 4xx that say no more than that it is too early, or too much at once. */
const PASSING = [408, 425, 429];
/** What receivers of artifacts say where the block's phase is over (docs/protocol-v2.md §5). */
const STALE = "block_height is not the active PoC stage";
/** Connections to one host; there is one request at a time on each. */
export const CONNECTIONS_EACH = 2;
/** Connections that are kept for the next request; where there are more, each ends with its request. */
const MOST_KEPT = 64;
/** The errors with which a connection breaks while a body is sent. */
const CUT_CODES = ["ECONNRESET", "EPIPE", "UND_ERR_SOCKET", "UND_ERR_HEADERS_TIMEOUT"];

/** Why a callback was not acknowledged, in few words: a label of metrics. */
type FailureReason =
  | "refused_address"
  | "host_not_allowed"
  | "unknown_host"
  | "tls"
  | "timeout"
  | "connection"
  | "redirect"
  | "client_error"
  | "server_error"
  | "too_large"
  | "broken_answer"
  | "store";

/** A callback that was not acknowledged. */
class PostError extends Error {
  override readonly name: string = "PostError";
  readonly reason: FailureReason;

  constructor(reason: FailureReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

/** A body that the receiver has refused, or most likely would, for its length. */
export class TooLargeError extends PostError {
  override readonly name = "TooLargeError";

  constructor(message: string, options?: ErrorOptions) {
    super("too_large", message, options);
  }
}

/** The receiver has read it, and will not have it. */
export class RefusedError extends PostError {
  override readonly name = "RefusedError";
  /** Whether it says that the block's phase is over. */
  readonly isStale: boolean;
  /** The beginning of its answer. */
  readonly said: string;

  constructor(message: string, { isStale, said }: { isStale: boolean; said: string }) {
    super("client_error", message);
    this.isStale = isStale;
    this.said = said;
  }
}

/** What a failed `post` failed for; `store` for what is none of its errors. */
export function failureOf(error: unknown): FailureReason {
  if (error instanceof PostError) return error.reason;
  const { code = "", name } = error as NodeJS.ErrnoException;
  if (name === "TimeoutError" || /TIMEOUT|ETIMEDOUT/.test(code)) return "timeout";
  if (/^(ENOTFOUND|EAI_|ENODATA)/.test(code)) return "unknown_host";
  if (/CERT|TLS|SSL|UNABLE_TO_/.test(code)) return "tls";
  if (/^(E[A-Z]+|UND_ERR_.*|HPE_.*)$/.test(code)) return "connection";
  return "store";
}

interface Posting {
  readonly url: string;
  readonly kind: DeliveryKind;
  /** JSON. */
  readonly body: string;
  readonly signal: AbortSignal;
  /** Called with the headers of any answer, before it is judged. */
  readonly onAnswer?: (headers: Readonly<Record<string, string | string[] | undefined>>) => void;
}

export interface Poster {
  /** @throws TooLargeError, RefusedError, or another Error unless the answer came whole and was a 2xx */
  post(to: Posting): Promise<void>;
  /** For connections from now on. */
  useTls(tls: PosterTls): void;
  close(): Promise<void>;
}

/** PEM texts. */
interface PosterTls {
  /** What is shown to receivers that ask for it. */
  cert?: Buffer | undefined;
  key?: Buffer | undefined;
  /** Instead of the authorities that Node knows. */
  ca?: Buffer | undefined;
}

export interface PosterOptions {
  /** Sent as a bearer token; only with `allow`, or any host that a caller names would get it. */
  token?: string | undefined;
  tls?: PosterTls | null;
  /** Signs the bodies. */
  secret?: string | undefined;
  /** Hosts that may be called, `name` or `name:port`; without it all that the protocol allows. */
  allow?: readonly string[] | undefined;
  /** Milliseconds; for tests. */
  timeout?: number;
}

/** `U/generated` or `U/validated`: a trailing slash is dropped, a query is kept. */
export function endpoint(callbackUrl: string, kind: DeliveryKind): URL {
  const url = new URL(callbackUrl);
  url.pathname = `${url.pathname.replace(/\/$/, "")}/${kind}`;
  url.hash = "";
  return url;
}

export function createPoster(options: PosterOptions): Poster {
  const { secret, allow, token, timeout = TIMEOUT } = options;
  // Connecting gets half of the time, so that a host that does not answer at all is told apart.
  const connectorWith = (tls: PosterTls) =>
    buildConnector({ ...tls, lookup: refusingLookup, timeout: timeout / 2 });
  let connector = connectorWith(options.tls ?? {});
  /** Answers that are being read. */
  const reading = new Set<{ host: string; mayBeCut: boolean }>();
  let open = 0; // connections, and attempts at one
  const agent = new Agent({
    connect(to, connected) {
      open++;
      connector(to, (...outcome) => {
        const [, socket] = outcome;
        if (socket) socket.once("close", () => open--);
        else open--;
        socket?.once("error", () => {
          for (const answer of reading) answer.mayBeCut ||= answer.host === to.host;
        });
        connected(...outcome);
      });
    },
    headersTimeout: timeout,
    bodyTimeout: timeout,
    connections: CONNECTIONS_EACH,
  });
  return {
    async post({ url, kind, body, signal, onAnswer }) {
      const to = endpoint(url, kind);
      // A literal address is never looked up.
      if (isRefusedAddress(to.hostname))
        throw new PostError("refused_address", "this address is never called");
      if (allow && !isNamedHost(to, allow))
        throw new PostError("host_not_allowed", "--callback-allow does not name this host");
      const answer = await request(to, {
        method: "POST",
        dispatcher: agent,
        reset: open >= MOST_KEPT,
        signal: AbortSignal.any([signal, AbortSignal.timeout(timeout)]),
        headers: {
          "content-type": "application/json",
          "user-agent": `proofmill/${version}`,
          ...(token !== undefined && { authorization: `Bearer ${token}` }),
          ...(secret === undefined
            ? {}
            : { [SIGNATURE_HEADER]: sign({ secret, body, now: Date.now() }) }),
        },
        body,
      }).catch((error) => {
        if (!isCut(error) || Buffer.byteLength(body) < LONG_BODY_BYTES) throw error;
        throw new TooLargeError(`cut off while it was sent: ${error.message}`, { cause: error });
      });
      onAnswer?.(answer.headers);
      const { statusCode } = answer;
      if (statusCode < 200 || statusCode > 299) {
        const message = `it answered ${statusCode}`;
        const isRefusal = statusCode >= 400 && statusCode < 500 && !PASSING.includes(statusCode);
        if (isRefusal && statusCode !== 413) {
          const said = await beginningOf(answer.body);
          const isStale = statusCode === 400 && said.includes(STALE);
          throw new RefusedError(message, { isStale, said });
        }
        void answer.body.dump().catch(() => {}); // a little of it, to keep the connection
        if (statusCode === 413) throw new TooLargeError(message);
        throw new PostError(statusFailure(statusCode), message);
      }
      // An answer that breaks off has not acknowledged. One that says no length ends when its
      // connection is closed, and undici takes any end for that: also a connection that is reset.
      const { headers } = answer;
      const isMeasured = "content-length" in headers || "transfer-encoding" in headers;
      const state = { host: to.host, mayBeCut: false };
      reading.add(state);
      try {
        let bytes = 0;
        for await (const chunk of answer.body) {
          bytes += (chunk as Buffer).length;
          if (bytes > MAX_ANSWER_BYTES)
            throw new PostError("broken_answer", "its answer does not end");
        }
      } finally {
        reading.delete(state);
      }
      if (!isMeasured && state.mayBeCut)
        throw new PostError("broken_answer", "its answer broke off");
    },
    useTls(tls) {
      connector = connectorWith(tls);
    },

    close: () => agent.destroy(),
  };
}

/** As much of an answer as came, "" where nothing did. */
async function beginningOf(body: AsyncIterable<Buffer>): Promise<string> {
  let text = "";
  try {
    for await (const chunk of body) {
      text += chunk.toString("latin1");
      if (text.length >= MAX_REASON_BYTES) break;
    }
  } catch {
    // It broke off: what has come is all there is.
  }
  return text.slice(0, MAX_REASON_BYTES);
}

function statusFailure(status: number): FailureReason {
  if (status >= 500) return "server_error";
  return status >= 400 ? "client_error" : "redirect";
}

function isCut(error: NodeJS.ErrnoException): boolean {
  return error.name === "TimeoutError" || CUT_CODES.includes(error.code ?? "");
}

/** Looks a name up and leaves out what must not be called: the socket gets what was checked. */
export const refusingLookup: LookupFunction = (hostname, options, callback) => {
  const all: LookupOptions = { ...options, all: true };
  lookup(hostname, all, (error, found) => {
    if (error) return callback(error, "");
    const addresses = (found as unknown as LookupAddress[]).filter(
      ({ address }) => !isRefusedAddress(address),
    );
    const [first] = addresses;
    if (!first) {
      const refusal: NodeJS.ErrnoException = new PostError(
        "refused_address",
        `${hostname} leads to addresses that are never called`,
      );
      return callback(refusal, "");
    }
    if (options.all) callback(null, addresses);
    else callback(null, first.address, first.family);
  });
};
