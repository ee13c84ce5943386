/** GET /: the page that shows the node at work, as the files of `@proofmill/dashboard`. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, extname, join } from "node:path";
import { gzipSync } from "node:zlib";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";

const FOLDER = join(
  dirname(createRequire(import.meta.url).resolve("@proofmill/dashboard/package.json")),
  "dist",
);
const INDEX = "index.html";
/** Files in it have names that change with what they hold. */
const HASHED = /^assets\//;

/**
 * All is the node's own, and nothing is inline; other nodes may be asked. What a node says is text: no
 * script may make HTML of anything.
 */
const POLICY = [
  "default-src 'self'",
  "connect-src 'self' http: https: ws: wss:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "object-src 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
};

interface PageFile {
  /** Of its route. */
  path: string;
  plain: Buffer;
  zipped: Buffer;
  etag: string;
  headers: Record<string, string | undefined>;
}

/** Of this process: packing takes longer than all else that a server does when it is made. */
let files: readonly PageFile[] | null = null;

/**
 * A route for each file. They are read by the first server, once: what is asked for later costs no
 * disk, and all who are answered share the same bytes.
 */
export function usePage(app: FastifyInstance): void {
  files ??= readFiles();
  for (const { path, plain, zipped, etag, headers } of files) {
    const send = async (request: FastifyRequest, reply: FastifyReply) => {
      reply.headers(headers);
      if (isKnown(request, etag)) return reply.code(304).send();
      if (!takesGzip(request)) return reply.send(plain);
      return reply.header("content-encoding", "gzip").send(zipped);
    };
    app.get(path, { config: { needsNoKey: true } }, send);
  }
}

function readFiles(): PageFile[] {
  const names = (readdirSync(FOLDER, { recursive: true }) as string[]).filter(
    (name) => extname(name) in TYPES,
  );
  return names.map((name) => readFile(name.replaceAll("\\", "/")));
}

function readFile(name: string): PageFile {
  const plain = readFileSync(join(FOLDER, name));
  const zipped = gzipSync(plain, { level: 9 });
  const etag = `"${createHash("sha256").update(plain).digest("base64url").slice(0, 22)}"`;
  const headers = {
    "content-type": TYPES[extname(name)],
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": HASHED.test(name) ? "public, max-age=31536000, immutable" : "no-cache",
    vary: "accept-encoding",
    etag,
  };
  return { path: name === INDEX ? "/" : `/${name}`, plain, zipped, etag, headers };
}

/** Proxies that pack what they pass on write `W/` before it; a browser may name several. */
function isKnown({ headers }: FastifyRequest, etag: string): boolean {
  const named = (headers["if-none-match"] ?? "").split(",", 100);
  return named.some((each) => each.trim().replace(/^W\//, "") === etag);
}

function takesGzip({ headers }: FastifyRequest): boolean {
  return /\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))/i.test(String(headers["accept-encoding"] ?? ""));
}
