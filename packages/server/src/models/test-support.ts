/** A hub on this machine, and the network that keeps its large files, for tests. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export const COMMIT = "0123456789abcdef0123456789abcdef01234567";

export interface TestHub {
  /** For HF_ENDPOINT. */
  readonly url: string;
  /** What was asked, in order; `/cdn/…` is the other origin. */
  readonly requests: { path: string; range: string | null; authorization: string | null }[];
  /** What goes wrong; to be changed at will. */
  readonly faults: Faults;
  /** Resolves when a response was held back. */
  readonly held: Promise<void>;
  close(): Promise<void>;
}

interface Faults {
  /** Without this token 401. */
  token: string | null;
  /** Every answer of the hub is this refusal. */
  refuse: { status: number; code?: string; retryAfter?: number } | null;
  /** So many answers, then none. */
  refusals: number;
  /** Large files break off after so many bytes of every response. */
  breakAfter: number;
  /** Large files stand still after so many bytes of every response. */
  holdAfter: number;
  /** Ranges are ignored. */
  ranges: boolean;
  /** A file whose content has a wrong bit. */
  corrupt: string | null;
  /** Added to the size of safetensors in the listing. */
  lie: number;
}

export interface TestHubOptions {
  name: string;
  files: Record<string, Buffer>;
  /** Large ones get a SHA-256 and a redirect to the other origin; safetensors by default. */
  isLarge?: (file: string) => boolean;
}

export async function startTestHub(options: TestHubOptions): Promise<TestHub> {
  const { name, files, isLarge = (file) => file.endsWith(".safetensors") } = options;
  const faults: Faults = {
    token: null,
    refuse: null,
    refusals: Number.POSITIVE_INFINITY,
    breakAfter: Number.POSITIVE_INFINITY,
    holdAfter: Number.POSITIVE_INFINITY,
    ranges: true,
    corrupt: null,
    lie: 0,
  };
  const requests: TestHub["requests"] = [];
  let hold = () => {};
  const held = new Promise<void>((resolve) => {
    hold = resolve;
  });

  const cdn = createServer((request, response) => {
    const path = record(request);
    const file = decodeURIComponent(path.slice("/cdn/".length));
    sendFile(file, request, response);
  });
  const hub = createServer((request, response) => {
    const path = record(request).split("?", 1)[0] ?? "";
    const json = (status: number, body: unknown, headers = {}) =>
      response
        .writeHead(status, { "content-type": "application/json", ...headers })
        .end(JSON.stringify(body));
    if (faults.refuse && faults.refusals-- > 0) {
      const { status, code, retryAfter } = faults.refuse;
      return json(
        status,
        { error: "refused" },
        { ...(code && { "x-error-code": code }), ...(retryAfter && { "retry-after": retryAfter }) },
      );
    }
    if (faults.token && request.headers.authorization !== `Bearer ${faults.token}`) {
      return json(401, { error: "Invalid username or password." });
    }
    const revision = path.match(`^/api/models/${name}/revision/([^/]+)$`)?.[1];
    if (revision !== undefined) {
      const known = ["main", "v1", COMMIT].includes(decodeURIComponent(revision));
      if (!known)
        return json(404, { error: "Invalid rev id" }, { "x-error-code": "RevisionNotFound" });
      return json(200, { _id: "1", id: name, sha: COMMIT, lastModified: "2025-01-01T00:00:00Z" });
    }
    if (path === `/api/models/${name}/tree/${COMMIT}`) return json(200, listing());
    const file = path.startsWith(`/${name}/resolve/${COMMIT}/`)
      ? path.split("/").at(-1)
      : undefined;
    if (file === undefined || files[file] === undefined) {
      return json(404, { error: "Not found" }, { "x-error-code": "RepoNotFound" });
    }
    if (!isLarge(file)) return sendFile(file, request, response);
    return response.writeHead(302, { location: `${urlOf(cdn)}/cdn/${file}` }).end();
  });
  await Promise.all([hub, cdn].map((server) => once(server.listen(0, "127.0.0.1"), "listening")));
  return {
    url: urlOf(hub),
    requests,
    faults,
    held,
    close: async () => {
      for (const server of [hub, cdn]) server.closeAllConnections();
      await Promise.all([hub, cdn].map((server) => once(server.close(), "close")));
    },
  };

  function record(request: IncomingMessage): string {
    const { url: path = "", headers } = request;
    const { range = null, authorization = null } = headers;
    requests.push({ path, range, authorization });
    return path;
  }

  function listing(): object[] {
    const folder = { type: "directory", path: "onnx", size: 0, oid: COMMIT };
    const entries = Object.entries(files).map(([path, content]) => {
      const size = content.length + (path.endsWith(".safetensors") ? faults.lie : 0);
      const pointer = { type: "file", path, size, oid: gitHash(content) };
      if (!isLarge(path)) return pointer;
      return { ...pointer, lfs: { oid: sha256(content), size, pointerSize: 134 } };
    });
    return [folder, ...entries];
  }

  function sendFile(file: string, request: IncomingMessage, response: ServerResponse): void {
    const content = Buffer.from(files[file] ?? "");
    if (faults.corrupt === file) content[content.length - 1] = ~(content.at(-1) ?? 0);
    const begin = faults.ranges
      ? Number(request.headers.range?.match(/^bytes=(\d+)-$/)?.[1] ?? 0)
      : 0;
    const part = content.subarray(begin);
    const isPart = faults.ranges && request.headers.range !== undefined;
    const range = `bytes ${begin}-${content.length - 1}/${content.length}`;
    response.writeHead(isPart ? 206 : 200, {
      "content-length": part.length,
      ...(isPart && { "content-range": range }),
    });
    const most = isLarge(file) ? Math.min(faults.breakAfter, faults.holdAfter) : part.length;
    if (part.length <= most) return void response.end(part);
    response.write(part.subarray(0, most), () => {
      if (faults.breakAfter <= most) response.destroy();
      else hold();
    });
  }
}

export function sha256(content: Buffer): string {
  return createHash("sha256").update(content).digest("hex");
}

/** The object id that git gives to a file. */
export function gitHash(content: Buffer): string {
  return createHash("sha1").update(`blob ${content.length}\0`).update(content).digest("hex");
}

function urlOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
