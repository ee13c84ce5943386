/** What the hub says of a model: its commit, its files, and why it refuses. */
import { Agent, EnvHttpProxyAgent, fetch, type RequestInit as UndiciRequest } from "undici";
import { version } from "../version.ts";
import { isCommit } from "./cache.ts";
import type { HubModel } from "./locate.ts";

/** A file of a model. */
export interface HubFile {
  name: string;
  /** Bytes. */
  size: number;
  /** SHA-256 of the content where `isLarge`, else git's SHA-1; it names the blob too. */
  hash: string;
  /** Kept outside git: weights, and sometimes tokenizers. */
  isLarge: boolean;
}

export interface HubListing {
  commit: string;
  /** Those beside config.json, by name. */
  files: Map<string, HubFile>;
}

/** A request that may go well when it is made again. */
export class PassingFault extends Error {
  /** Milliseconds to wait, where the server says so. */
  readonly retryAfter: number | null;

  constructor(message: string, retryAfter: number | null = null) {
    super(message);
    this.retryAfter = retryAfter;
  }
}

export type HubFetch = (url: string | URL | Request, init?: RequestInit) => Promise<Response>;

const PROXY_USER =
  "the proxy wants a user and a password; put them into its address in HTTPS_PROXY or HTTP_PROXY";

/** Headers must come within so many milliseconds. */
const ANSWER_TIMEOUT_MS = 30_000;

/**
 * A `fetch` for one model: sends the token to the hub and to nobody else, and turns refusals into
 * errors that say what to do.
 *
 * It throws PassingFault for what may pass (no connection, 408, 429, 5xx), Error for the rest.
 */
export function hubFetch(model: HubModel, signal: AbortSignal): HubFetch {
  const { endpoint, token, proxy } = model.hub;
  const { origin } = new URL(endpoint);
  // Forwarded as they are where the address is http; https is always tunnelled.
  const dispatcher = proxy ? new EnvHttpProxyAgent({ ...proxy, proxyTunnel: false }) : new Agent();
  return async (input, init = {}) => {
    const url = new URL(input instanceof Request ? input.url : input);
    const headers = new Headers(init.headers);
    headers.set("user-agent", `proofmill/${version}`);
    // A redirect to another origin drops it again: fetch sees to that.
    if (token !== null && url.origin === origin) headers.set("authorization", `Bearer ${token}`);
    const limit = new AbortController();
    const timer = setTimeout(() => limit.abort(), ANSWER_TIMEOUT_MS);
    const signals = [signal, limit.signal, ...(init.signal ? [init.signal] : [])];
    let response: Response;
    try {
      const request = { ...init, headers, signal: AbortSignal.any(signals), dispatcher };
      response = (await fetch(url, request as UndiciRequest)) as unknown as Response;
    } catch (error) {
      signal.throwIfAborted();
      // undici throws where a proxy answers 407.
      if (/\b407\b/.test(String((error as Error).cause))) throw new Error(PROXY_USER);
      const way = proxy ? " through the proxy" : "";
      throw new PassingFault(`${url.origin} cannot be reached${way} (${reasonOf(error)})`);
    } finally {
      clearTimeout(timer);
    }
    if (response.ok) return response;
    await response.body?.cancel();
    throw refusal(model, response);
  };
}

/**
 * The commit that a revision stands for, and its files.
 *
 * @throws PassingFault, or Error where the hub refuses or says what cannot be
 */
export async function listModel(model: HubModel, fetch: HubFetch): Promise<HubListing> {
  const { modelInfo, listFiles } = await import("@huggingface/hub");
  const { name, revision, hub } = model;
  const common = { hubUrl: hub.endpoint, fetch };
  const info = await modelInfo({ ...common, name, revision, additionalFields: ["sha"] });
  const commit = info.sha;
  if (typeof commit !== "string" || !isCommit(commit)) throw strange(model, "no commit");
  const files = new Map<string, HubFile>();
  for await (const entry of listFiles({
    ...common,
    repo: { type: "model", name },
    revision: commit,
  })) {
    if (entry.type !== "file" || entry.path.includes("/")) continue;
    const { size } = entry.lfs ?? entry;
    const hash = entry.lfs?.oid ?? entry.oid ?? "";
    const isLarge = entry.lfs !== undefined;
    // A hash becomes a path.
    if (!(isLarge ? /^[0-9a-f]{64}$/ : /^[0-9a-f]{40}$/).test(hash)) {
      throw strange(model, `no hash of ${entry.path}`);
    }
    if (!Number.isSafeInteger(size) || size < 0) throw strange(model, `no size of ${entry.path}`);
    files.set(entry.path, { name: entry.path, size, hash, isLarge });
  }
  return { commit, files };
}

/** Where a file of a commit is to be had. */
export function fileUrl(model: HubModel, file: { commit: string; name: string }): string {
  const { hub, name } = model;
  return `${hub.endpoint}/${name}/resolve/${file.commit}/${encodeURIComponent(file.name)}`;
}

function strange({ name, hub }: HubModel, missing: string): Error {
  return new Error(
    `${hub.endpoint} answers for ${name} as no hub does (${missing}); check HF_ENDPOINT`,
  );
}

/** Says what the user can do; the hub's own error code is more exact than its status. */
function refusal({ name, revision, hub }: HubModel, { status, headers, url }: Response): Error {
  const code = headers.get("x-error-code");
  const page = `${hub.endpoint}/${name}`;
  if (status === 408 || status === 429 || status >= 500) {
    return new PassingFault(`${new URL(url).origin} answers ${status}`, retryAfter(headers));
  }
  if (code === "GatedRepo") {
    return new Error(
      `${name} is gated: accept its terms at ${page}, then set HF_TOKEN to a token that may read it`,
    );
  }
  if (code === "RevisionNotFound") {
    return new Error(`${name} has no revision ${revision}; choose another with --revision`);
  }
  if (status === 401 && hub.token === null) {
    return new Error(
      `${hub.endpoint} has no public model ${name}: check the name, or set HF_TOKEN if it is private`,
    );
  }
  if (status === 401 || status === 403) {
    return new Error(
      `${hub.endpoint} refuses ${name} to this token (${status}): ask for access at ${page}, or ` +
        "set HF_TOKEN to a token that may read it",
    );
  }
  if (status === 404) {
    return new Error(
      `there is no directory ${name}, and ${hub.endpoint} has no model of that name; check it`,
    );
  }
  return new Error(`${hub.endpoint} refuses ${name} (${status}); check HF_ENDPOINT`);
}

/** Milliseconds; only the form in seconds is in use there. */
function retryAfter(headers: Headers): number | null {
  const value = headers.get("retry-after") ?? "";
  return /^\d{1,3}$/.test(value) ? Number(value) * 1000 : null;
}

/** What lies behind fetch's "fetch failed". */
export function reasonOf(error: unknown): string {
  const { cause, message } = error as Error;
  const { code, message: inner } = (cause ?? {}) as NodeJS.ErrnoException;
  if ((error as Error).name === "AbortError") return "no answer";
  return code ?? inner ?? message;
}
