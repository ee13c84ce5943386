/** One POST to an aggregator, wherever its name leads but to what is never called. */
import { type LookupAddress, type LookupOptions, lookup } from "node:dns";
import type { LookupFunction } from "node:net";
import { isNamedHost, isRefusedAddress } from "@proofmill/core";
import { Agent, request } from "undici";
import type { DeliveryKind } from "../store/database.ts";
import { version } from "../version.ts";
import { SIGNATURE_HEADER, sign } from "./signature.ts";

/** For the whole of it, milliseconds. */
const TIMEOUT = 10_000;
/** An answer's body is read so far, to keep the connection; nothing in it matters. */
const MAX_ANSWER_BYTES = 64 * 1024;

export interface Poster {
  /** @throws Error unless the answer came whole and was a 2xx */
  post(to: { url: string; kind: DeliveryKind; body: string; signal: AbortSignal }): Promise<void>;
  close(): Promise<void>;
}

export interface PosterOptions {
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

export function createPoster({ secret, allow, timeout = TIMEOUT }: PosterOptions): Poster {
  const agent = new Agent({
    connect: { lookup: refusingLookup, timeout },
    headersTimeout: timeout,
    bodyTimeout: timeout,
    connections: 2,
  });
  return {
    async post({ url, kind, body, signal }) {
      const to = endpoint(url, kind);
      // A literal address is never looked up.
      if (isRefusedAddress(to.hostname)) throw new Error("this address is never called");
      if (allow && !isNamedHost(to, allow))
        throw new Error("--callback-allow does not name this host");
      const answer = await request(to, {
        method: "POST",
        dispatcher: agent,
        signal: AbortSignal.any([signal, AbortSignal.timeout(timeout)]),
        headers: {
          "content-type": "application/json",
          "user-agent": `proofmill/${version}`,
          ...(secret === undefined
            ? {}
            : { [SIGNATURE_HEADER]: sign({ secret, body, now: Date.now() }) }),
        },
        body,
      });
      // To the end, also of a refusal: one that breaks off did not answer.
      let bytes = 0;
      for await (const chunk of answer.body) {
        bytes += (chunk as Buffer).length;
        if (bytes > MAX_ANSWER_BYTES) break;
      }
      const { statusCode } = answer;
      if (statusCode < 200 || statusCode > 299) throw new Error(`it answered ${statusCode}`);
    },
    close: () => agent.destroy(),
  };
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
      const refusal: NodeJS.ErrnoException = new Error(
        `${hostname} leads to addresses that are never called`,
      );
      return callback(refusal, "");
    }
    if (options.all) callback(null, addresses);
    else callback(null, first.address, first.family);
  });
};
