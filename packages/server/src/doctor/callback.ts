/** What concerns the aggregator: does it take what this node sends, and do their clocks agree. */
import { failureOf, type Poster, RefusedError } from "../callbacks/request.ts";
import { type Check, type Finding, failed, ok, skipped } from "./check.ts";

/** Receivers refuse signatures that are five minutes old; half of a minute leaves room to drift. */
const MOST_SKEW_SECONDS = 30;
const NOBODY = {
  public_key: "proofmill-doctor",
  block_hash: "proofmill-doctor",
  block_height: 0,
  node_id: 0,
};
/** Taken for a find by nobody: it has no nonces. */
const EMPTY = { ...NOBODY, nonces: [], dist: [] };
const WITHOUT_ARTIFACTS = {
  ...{ ...NOBODY, artifacts: [] },
  encoding: { dtype: "f16", k_dim: 12, endian: "le" },
};

interface CallbackChecks {
  /** Undefined: none was named. */
  url: string | undefined;
  /** @throws Error where a certificate of the node's is not well */
  openPoster: () => Poster;
  isSigned: boolean;
  /** Whether the receiver is the network's broker, who takes artifacts. */
  isBroker?: boolean;
  /** Milliseconds since 1970. */
  now?: () => number;
}

export function callbackChecks({
  url,
  openPoster,
  isSigned,
  isBroker = false,
  now = Date.now,
}: CallbackChecks): Check[] {
  let date: string | null = null;
  const unnamed = skipped("no --callback-url");
  return [
    {
      name: "callback",
      async run(): Promise<Finding> {
        if (url === undefined) return unnamed;
        const signal = new AbortController().signal;
        const body = JSON.stringify(isBroker ? WITHOUT_ARTIFACTS : EMPTY);
        const poster = openPoster();
        try {
          await poster.post({
            ...{ url, kind: "generated", body, signal },
            onAnswer: (headers) => {
              date = String(headers.date);
            },
          });
        } catch (error) {
          if (isBroker) return heardByBroker(error);
          throw error;
        } finally {
          await poster.close();
        }
        return ok(`it took a POST without nonces, ${isSigned ? "signed" : "not signed"}`);
      },
    },
    {
      name: "clock",
      run(): Finding {
        if (url === undefined) return unnamed;
        const theirs = Date.parse(date ?? "");
        if (Number.isNaN(theirs)) return skipped("the receiver did not say what time it is");
        const seconds = Math.round((now() - theirs) / 1000);
        const words = `${Math.abs(seconds)} s ${seconds < 0 ? "behind" : "ahead of"} the receiver's`;
        if (Math.abs(seconds) <= MOST_SKEW_SECONDS) return ok(words);
        return failed(`this machine's clock is ${words}: set one of them, signatures are dated`);
      },
    },
  ];
}

/** A broker refuses what is of no block of its own: that it does, and why, shows that it is one. */
function heardByBroker(error: unknown): Finding {
  if (error instanceof RefusedError) {
    if (error.isStale) return ok("the broker knows that no such block is at work");
    const said = error.said.trim().replaceAll(/\s+/g, " ").slice(0, 200);
    return failed(`${error.message}${said && `, ${said}`}: is this the address that rounds name?`);
  }
  const isBetweenRounds = failureOf(error) === "server_error" && /\b503$/.test(String(error));
  if (!isBetweenRounds) throw error;
  return ok("it answers that it takes no artifacts now, as a broker between two rounds");
}
