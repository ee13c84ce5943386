/** What several tests of this package share: a server over a fake runner, without a socket. */
import { MemoryRoundStore, PocService, type SessionStats } from "@proofmill/core";
import { createFakeRunner, type FakeRunner } from "@proofmill/core/testing";
import type { FastifyInstance, LightMyRequestResponse } from "fastify";
import { onTestFinished } from "vitest";
import { Proxies } from "./access/addresses.ts";
import { type KeyEntry, Keyring } from "./access/keys.ts";
import type { Tls } from "./access/tls.ts";
import { NO_DELIVERIES } from "./callbacks/sender.ts";
import { Inference } from "./completions/inference.ts";
import { HeldModel } from "./held-model.ts";
import type { History } from "./history/history.ts";
import { type ConnectionLimits, connectionLimits } from "./http/connections/connections.ts";
import type { Prefixes } from "./http/prefixes.ts";
import { roundIdAfter } from "./round-id.ts";
import { createServer } from "./server.ts";
import type { Protocol } from "./settings/config.ts";
import { DEMO_FILES, makeFolder } from "./text/test-support.ts";
import { openTextModel } from "./text/text-model.ts";

/** The body of the older service's tests. */
export const INIT = { block_hash: "hash1", block_height: 100, public_key: "node1", r_target: 0.5 };
export const INIT_GENERATE = { ...INIT, node_id: 0, node_count: 1 };
export const PROOF = {
  public_key: "node1",
  block_hash: "hash1",
  block_height: 100,
  nonces: [0, 1, 2],
  dist: [0.3, 0.4, 0.6],
  node_id: 0,
};

const NO_SESSIONS = { pages: 0, pages_in_use: 0, running: 0, waiting: 0, preempted: 0 };

export interface TestServer {
  app: FastifyInstance;
  service: PocService;
  runner: FakeRunner;
  /** Null where nobody needs a key. */
  keyring: Keyring | null;
  history: History;
  /** Takes the runner from the service. */
  detach(reason: Error): void;
  /** POST below the prefix; a string or bytes go out as they are. */
  post(
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<LightMyRequestResponse>;
  get(url: string): Promise<LightMyRequestResponse>;
}

/** @param options.loaded false: the model is still loading */
export async function testServer(
  options: {
    enabled?: boolean;
    loaded?: boolean;
    /** `v1` by default. */
    protocol?: Protocol;
    prefixes?: Prefixes;
    distance?: () => number;
    allowInferenceWhileValidating?: boolean;
    allowOrigin?: string[];
    allowHost?: string[];
    drainMs?: number;
    upstream?: { url: string; apiKey?: string };
    keys?: KeyEntry[];
    tls?: Tls;
    trustedProxy?: string[];
    maxRequestsPerSecond?: number;
    connectionLimits?: Partial<ConnectionLimits>;
    maxValidateNonces?: number;
    sessionStats?: SessionStats;
    /** Chats by a tokenizer of bytes and the fake runner's counting; none by default. */
    chats?: boolean;
  } = {},
): Promise<TestServer> {
  const { enabled = true, loaded = true, distance, maxValidateNonces = 4096 } = options;
  const runner = createFakeRunner({
    ...(distance && { distance }),
    ...(options.chats && { info: { vocab_size: 259 } }),
  });
  const held = new HeldModel("test-model");
  const defaults = { batch_size: 32, seq_len: 256 };
  const keyring = options.keys ? new Keyring(options.keys) : null;
  const { app, service, history, inference } = await createServer({
    logLevel: "silent",
    logFormat: "json",
    openService: (_log, meter) =>
      PocService.open({
        enabled,
        store: new MemoryRoundStore(),
        newRoundId: roundIdAfter,
        defaults,
        maxValidateNonces,
        meter,
        modelNames: () => held.allNames,
        isServing: () => !held.isStopped,
      }),
    modelName: "test-model",
    protocol: options.protocol ?? "v1",
    model: held,
    prefixes: options.prefixes ?? { versions: null, basePath: "" },
    defaults,
    maxValidateNonces,
    allowInferenceWhileValidating: options.allowInferenceWhileValidating ?? false,
    ungateModels: false,
    openInference: options.chats
      ? (meter) =>
          new Inference({
            ...{ names: held, meter },
            openText: ({ vocab_size: vocabSize }) =>
              openTextModel({ directory: makeFolder(DEMO_FILES), vocabSize }),
          })
      : null,
    drainMs: options.drainMs ?? 5000,
    upstream: options.upstream ?? null,
    runners: () => [],
    sessionStats: () => options.sessionStats ?? NO_SESSIONS,
    delivery: async () => NO_DELIVERIES,
    allowOrigin: options.allowOrigin ?? [],
    allowHost: options.allowHost ?? [],
    keys: keyring,
    tls: options.tls ?? null,
    proxies: new Proxies(options.trustedProxy ?? []),
    maxRequestsPerSecond: options.maxRequestsPerSecond,
    maxConnectionsPerAddress: 2048,
    connectionLimits: { ...connectionLimits(1), ...options.connectionLimits },
  });
  const ends = loaded ? [service.attach(runner), inference?.attach(runner)] : [];
  const detach = (reason: Error) => {
    for (const end of ends) end?.(reason);
  };
  onTestFinished(async () => {
    await service.close();
    await app.close();
  });
  return {
    app,
    service,
    runner,
    keyring,
    history,
    detach,
    get: (url) => app.inject({ method: "GET", url }),
    post: (path, body, headers = {}) =>
      app.inject({
        method: "POST",
        url: `/api/v1/pow${path}`,
        headers: body === undefined ? headers : { "content-type": "application/json", ...headers },
        ...(body === undefined
          ? {}
          : {
              payload:
                typeof body === "string" || body instanceof Buffer ? body : JSON.stringify(body),
            }),
      }),
  };
}
