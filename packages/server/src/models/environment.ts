/** What the environment says about the Hugging Face hub, read as the Python tools read it. */
import { isIPv6 } from "node:net";
import { join, resolve } from "node:path";
import { readBounded } from "@proofmill/native/model/json-file";
import { homeFolder } from "../platform/folders.ts";

export interface HubSettings {
  /** Absolute path of the cache that all of a user's tools share. */
  cacheFolder: string;
  /** Without a slash at the end. */
  endpoint: string;
  token: string | null;
  offline: boolean;
  /** What stands between this machine and the hub; null: nothing. */
  proxy: ProxySettings | null;
}

/** Addresses, "" for none; what `noProxy` lists is asked directly. */
interface ProxySettings {
  httpProxy: string;
  httpsProxy: string;
  noProxy: string;
}

/** A token has some forty characters. */
const MAX_TOKEN_BYTES = 10_000;
const DEFAULT_ENDPOINT = "https://huggingface.co";

/**
 * `HF_HOME`, `HF_HUB_CACHE`, `HF_ENDPOINT`, `HF_TOKEN`, `HF_HUB_OFFLINE` and their older names, as
 * huggingface_hub's constants.py reads them: the two tools must find each other's models.
 *
 * @throws Error in one line, for an endpoint that is no http address or a token file that is there
 *   and cannot be read
 */
export function readHubSettings(environment: NodeJS.ProcessEnv): HubSettings {
  const expand = (path: string) => expandPath(path, environment);
  const user = homeFolder(environment);
  const caches = environment.XDG_CACHE_HOME ?? (user && join(user, ".cache"));
  const home = environment.HF_HOME ?? (caches && join(caches, "huggingface"));
  const cache =
    environment.HF_HUB_CACHE ?? environment.HUGGINGFACE_HUB_CACHE ?? (home && join(home, "hub"));
  if (!cache) throw new Error("there is no home folder to keep models in; set HOME or HF_HOME");
  const tokenFile = environment.HF_TOKEN_PATH ?? (home && join(home, "token"));
  return {
    cacheFolder: resolve(expand(cache)),
    endpoint: readEndpoint(environment.HF_ENDPOINT),
    token: readToken(environment, tokenFile ? expand(tokenFile) : null),
    offline: isTrue(environment.HF_HUB_OFFLINE || environment.TRANSFORMERS_OFFLINE),
    proxy: readProxy(environment),
  };
}

/** As Python's tools and curl read them: small letters win, and a bare host is an http address. */
function readProxy(environment: NodeJS.ProcessEnv): ProxySettings | null {
  const read = (name: string) =>
    environment[name.toLowerCase()]?.trim() || environment[name]?.trim() || "";
  const address = (name: string) => {
    const value = read(name) || read("ALL_PROXY");
    if (value === "") return "";
    const url = /^[a-z][a-z\d+.-]*:\/\//i.test(value) ? value : `http://${value}`;
    if (/^https?:/i.test(url) && URL.canParse(url)) return url;
    throw new Error(`${name} names no http proxy; expected an address such as http://proxy:3128`);
  };
  const [httpProxy, httpsProxy] = [address("HTTP_PROXY"), address("HTTPS_PROXY")];
  if (httpProxy === "" && httpsProxy === "") return null;
  // undici compares hosts as they stand in addresses, where IPv6 has brackets.
  const hosts = read("NO_PROXY").split(/[\s,]+/);
  const noProxy = hosts.map((host) => (isIPv6(host) ? `[${host}]` : host)).join(",");
  return { httpProxy, httpsProxy, noProxy };
}

function readEndpoint(value: string | undefined): string {
  const endpoint = (value || DEFAULT_ENDPOINT).replace(/\/+$/, "");
  const { username, password } = URL.canParse(endpoint) ? new URL(endpoint) : {};
  if (/^https?:\/\//i.test(endpoint) && username === "" && password === "") return endpoint;
  throw new Error(`HF_ENDPOINT is '${value}', expected an address such as ${DEFAULT_ENDPOINT}`);
}

function readToken(environment: NodeJS.ProcessEnv, file: string | null): string | null {
  const named = cleanToken(environment.HF_TOKEN || environment.HUGGING_FACE_HUB_TOKEN);
  if (named) return usableToken(named, "HF_TOKEN");
  if (file === null || isTrue(environment.HF_HUB_DISABLE_IMPLICIT_TOKEN)) return null;
  try {
    const kept = cleanToken(readBounded(file, MAX_TOKEN_BYTES).toString("utf8"));
    return kept && usableToken(kept, file);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return null;
    throw new Error(`the token file ${message}; set HF_TOKEN instead`);
  }
}

function cleanToken(token: string | undefined): string | null {
  return token?.replaceAll(/[\r\n]/g, "").trim() || null;
}

/** What a header cannot hold would be quoted by what fails then. */
function usableToken(token: string, place: string): string {
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw new Error(`${place} holds no token: expected letters, digits and signs without blanks`);
}

function isTrue(value: string | undefined): boolean {
  return ["1", "ON", "YES", "TRUE"].includes(value?.toUpperCase() ?? "");
}

/** `~`, `$NAME` and `${NAME}` as Python's expanduser and expandvars; unknown names stay. */
function expandPath(path: string, environment: NodeJS.ProcessEnv): string {
  return path
    .replace(/^~(?=$|\/)/, (tilde) => homeFolder(environment) ?? tilde)
    .replaceAll(
      /\$(?:(\w+)|\{([^}]*)\})/g,
      (text, plain?: string, braced?: string) => environment[plain ?? braced ?? ""] ?? text,
    );
}
