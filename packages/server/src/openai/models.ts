/** `GET /v1/models`, as OpenAI's clients read it. */
import type { FastifyInstance } from "fastify";

export function installModels(
  app: FastifyInstance,
  options: { servedModelName: string },
): void {
  const created = Math.floor(Date.now() / 1000);
  app.get("/v1/models", { schema: { hide: true } }, async () => ({
    object: "list",
    data: [{ id: options.servedModelName, object: "model", created, owned_by: "proofmill" }],
  }));
}
