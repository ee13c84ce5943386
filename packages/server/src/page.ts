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

/**
 * A route for each file. They are read here, once: what is asked for later costs no disk, and all who
 * are answered share the same bytes.
 */
export function usePage(app: FastifyInstance): void {
  const names = (readdirSync(FOLDER, { recursive: true }) as string[]).filter(
    (name) => extname(name) in TYPES,
  );
  for (const name of names) serveFile(app, name.replaceAll("\\", "/"));
}

function serveFile(app: FastifyInstance, name: string): void {
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
  const send = async (request: FastifyRequest, reply: FastifyReply) => {
    reply.headers(headers);
    if (isKnown(request, etag)) return reply.code(304).send();
    if (!takesGzip(request)) return reply.send(plain);
    return reply.header("content-encoding", "gzip").send(zipped);
  };
  app.get(name === INDEX ? "/" : `/${name}`, { config: { needsNoKey: true } }, send);
}

/** Proxies that pack what they pass on write `W/` before it; a browser may name several. */
function isKnown({ headers }: FastifyRequest, etag: string): boolean {
  const named = (headers["if-none-match"] ?? "").split(",", 100);
  return named.some((each) => each.trim().replace(/^W\//, "") === etag);
}

function takesGzip({ headers }: FastifyRequest): boolean {
  return /\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))/i.test(String(headers["accept-encoding"] ?? ""));
}
