/** GET /openapi.json and /docs: the API document for programs, and as a page for people. */
import type { FastifyInstance } from "fastify";
import { type DocumentOptions, describeApi } from "./document.ts";
import { PAGE_POLICY, renderPage } from "./page.ts";

/** Where a caller that names no host may have found the node. */
const SOMEWHERE = "127.0.0.1:8000";

export function useOpenApi(app: FastifyInstance, options: DocumentOptions): void {
  const document = once(() => describeApi(options));
  const json = once(() => Buffer.from(JSON.stringify(document())));
  /** As it was last asked for: its curl lines name the address that the caller has used. */
  let page = { node: "", html: Buffer.alloc(0) };
  const config = { scope: "read" } as const;
  app.get("/openapi.json", { config }, async (_request, reply) =>
    reply.type("application/json; charset=utf-8").send(json()),
  );
  app.get("/docs", { config }, async ({ protocol, host }, reply) => {
    const node = `${protocol}://${host || SOMEWHERE}`;
    if (page.node !== node) page = { node, html: Buffer.from(renderPage(document(), node)) };
    return reply
      .type("text/html; charset=utf-8")
      .header("content-security-policy", PAGE_POLICY)
      .send(page.html);
  });
}

function once<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => (made ??= make());
}
