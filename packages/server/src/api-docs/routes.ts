/** GET /openapi.json and /docs, made from the table of operations and the schemas that it names. */
import swagger from "@fastify/swagger";
import type { InitDefaults, OperationTable } from "@proofmill/core";
import type { FastifyInstance } from "fastify";
import { jsonSchemaTransform } from "fastify-type-provider-zod";
import { version } from "../version.ts";
import { completeDocument, type OpenApi } from "./document.ts";
import { schemaOf } from "./operation.ts";
import { PAGE_POLICY, renderPage } from "./page.ts";

/** Called before the routes that it documents: those that bear an operation's name. */
export function useOpenApi(
  app: FastifyInstance,
  { operations, defaults }: { operations: OperationTable; defaults: InitDefaults },
): void {
  app.addHook("onRoute", (route) => {
    const name = route.config?.operation ?? "";
    const operation = operations[name];
    if (operation) route.schema = schemaOf(name, operation, defaults);
  });
  // The routes' schemas are documentation: the service checks what comes in, and what goes out is
  // built by types. Fastify's own compilers cannot read zod either.
  app.setValidatorCompiler(() => () => true);
  app.setSerializerCompiler(() => JSON.stringify);
  app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: { title: "proofmill", version, description: "A Proof-of-Compute node." },
    },
    transform: jsonSchemaTransform,
    transformObject: (document) =>
      completeDocument(
        "openapiObject" in document ? document.openapiObject : document.swaggerObject,
        operations,
      ),
  });
  // Routes do not change once there are requests: both are written for the first one that asks.
  const json = once(() => Buffer.from(JSON.stringify(app.swagger())));
  const page = once(() => Buffer.from(renderPage(app.swagger() as OpenApi)));
  const config = { scope: "read" } as const;
  app.get("/openapi.json", { config, schema: { hide: true } }, async (_request, reply) =>
    reply.type("application/json; charset=utf-8").send(json()),
  );
  app.get("/docs", { config, schema: { hide: true } }, async (_request, reply) =>
    reply
      .type("text/html; charset=utf-8")
      .header("content-security-policy", PAGE_POLICY)
      .send(page()),
  );
}

function once<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => (made ??= make());
}
