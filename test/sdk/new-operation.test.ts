/** An operation that the table is given in addition: every door and the SDK have it at once. */
import { OPERATIONS, type Operation } from "@proofmill/core";
import { createTRPCClient, httpLink } from "@trpc/client";
import Fastify from "fastify";
import { expect, onTestFinished, test } from "vitest";
import { createMethods } from "../../packages/client/src/methods.ts";
import type { RouterOf } from "../../packages/client/src/trpc.ts";
import { Proxies } from "../../packages/server/src/access/addresses.ts";
import { Guard } from "../../packages/server/src/access/guard.ts";
import type { OpenApi } from "../../packages/server/src/api-docs/openapi.ts";
import { useOpenApi } from "../../packages/server/src/api-docs/routes.ts";
import { restRoutes } from "../../packages/server/src/doors/rest/rest.ts";
import { useTrpc, useWebSockets } from "../../packages/server/src/doors/trpc/live.ts";
import { createRouter } from "../../packages/server/src/doors/trpc/router.ts";
import { Subscriptions } from "../../packages/server/src/doors/trpc/subscriptions.ts";
import { Bodies } from "../../packages/server/src/http/bodies/bodies.ts";
import {
  Connections,
  connectionLimits,
} from "../../packages/server/src/http/connections/connections.ts";
import { Owed } from "../../packages/server/src/http/connections/owed.ts";
import { Lanes } from "../../packages/server/src/http/connections/turns.ts";
import { Unfinished } from "../../packages/server/src/http/connections/unfinished.ts";

/** Says a proof back, with the nonces from the last to the first. */
const reverse = {
  kind: "command",
  summary: "Say a proof backwards",
  group: "Proof of Compute",
  rest: "POST /api/v1/pow/reverse",
  procedure: "pow.reverse",
  body: "ProofBatch",
  output: "ProofBatch",
  refusals: ["INVALID_BODY"],
  repeatable: true,
  timeoutMs: 30_000,
  scope: "read",
} as const satisfies Operation;
const TABLE = { reverse };

const PROOF = {
  ...{ public_key: "node1", block_hash: "hash1", block_height: 100, node_id: 0 },
  ...{ nonces: [1, 2, 3], dist: [0.1, 0.2, 0.3] },
};

async function startDoors(): Promise<string> {
  const app = Fastify({ forceCloseConnections: true });
  onTestFinished(() => app.close());
  const defaults = { batch_size: 32, seq_len: 256 };
  const bodyLimit = 1024 * 1024;
  const bodies = new Bodies({ bodyLimit, limits: () => ({ defaults }) });
  const unfinished = new Unfinished(bodyLimit);
  const connections = new Connections(app.server, connectionLimits(1));
  const guard = new Guard({ keys: null, proxies: new Proxies([]), rates: null });
  const flow = { guard, owed: new Owed(), lanes: new Lanes(), bodies, unfinished };
  await useWebSockets(app, { maxPayload: bodyLimit, connections, ...flow });
  const calls = {
    reverse: (input: unknown) => {
      const proof = input as typeof PROOF;
      return { ...proof, nonces: proof.nonces.toReversed(), dist: proof.dist.toReversed() };
    },
  };
  useOpenApi(app, {
    ...{ operations: TABLE, examples: {}, defaults, modelName: "m", isLocked: false },
  });
  await useTrpc(app, createRouter(TABLE, calls), {
    ...{ connections, subscriptions: new Subscriptions(), ...flow },
  });
  const service = { assertEnabled() {}, assertReady() {} };
  await app.register(async (scope) =>
    restRoutes(scope, {
      ...{ operations: TABLE, calls, service, bodies, unfinished, guard },
      artifacts: null,
    }),
  );
  return app.listen({ host: "127.0.0.1", port: 0 });
}

test("REST, tRPC, the API document and the SDK have it", async () => {
  const url = await startDoors();
  const expected = { ...PROOF, nonces: [3, 2, 1], dist: [0.3, 0.2, 0.1] };

  const rest = await fetch(`${url}/api/v1/pow/reverse`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(PROOF),
  });
  expect(await rest.json()).toEqual(expected);

  type Router = RouterOf<typeof TABLE>;
  const trpc = createTRPCClient<Router>({ links: [httpLink({ url: `${url}/trpc` })] });
  expect(await trpc.pow.reverse.mutate(PROOF)).toEqual(expected);

  const { reverse } = createMethods(TABLE, { endpoint: { url } });
  expect(await reverse(PROOF)).toEqual(expected);

  const document = (await (await fetch(`${url}/openapi.json`)).json()) as OpenApi;
  expect(document.paths?.["/api/v1/pow/reverse"]?.post).toMatchObject({
    operationId: "reverse",
    summary: TABLE.reverse.summary,
    requestBody: {
      content: { "application/json": { schema: { $ref: "#/components/schemas/ProofBatch" } } },
    },
    responses: { 200: {}, 413: {}, 422: {} },
  });
  expect(Object.keys(OPERATIONS)).not.toContain("reverse");
});
