/** The table of rooms: what it does not name is forbidden. `rules.ts` says how it is read. */
import type { Rooms } from "./rules.ts";

export const ROOMS: Rooms = {
  // What is run by hand, and tests of the whole.
  scripts: ["node:*"],
  examples: ["client/src", "node:*"],
  "test/house": ["node:*", "vitest"],
  "test/clock": ["node:*"],
  "test/bench": ["client/src", "fastify", "native/lib", "node:*", "server/src/*"],
  "test/attack": [
    ...["@trpc/client", "client/src", "native/lib/model", "node:*", "server/src/index.ts"],
    ...["test", "vitest", "ws"],
  ],
  "test/sdk": [
    ...["@trpc/*", "client/src", "core/src/index.ts", "esbuild", "node:*", "server/src/index.ts"],
    ...["test", "vitest", "ws"],
  ],
  "test/gpu": [
    ...["<unistd.h>", "native/src/device/cuda", "node:*", "test", "test/conformance"],
    "vitest",
  ],
  "test/conformance": [
    ...["core/src/index.ts", "fast-check", "native/lib", "native/lib/*", "node:*", "test"],
    "vitest",
  ],
  "test/e2e": [
    ...["client/src", "core/src/index.ts", "native/lib/model", "node:*", "server tests", "test"],
    "vitest",
  ],
  test: ["core/src/runner/fake.ts", "node:*", "server/src/index.ts", "vitest"],

  "server tests": [
    ...["@trpc/client", "commander", "core/src/index.ts", "core/src/runner/fake.ts", "fastify"],
    ...["libsql", "native/lib/model", "node:*", "openai", "server/src/*", "ulid", "vitest", "ws"],
    "zod",
  ],
  "client tests": ["client/src", "fastify", "node:*", "vitest"],
  "native tests": ["core/src/index.ts", "native/lib", "native/lib/*", "node:*", "vitest"],
  "core tests": ["core/src/*", "fast-check", "node:*", "vitest", "zod"],

  // The node, from the command line down.
  "server/bin": ["server/src/main.ts"],
  "server/src/main.ts": ["server/src/cli"],
  "server/src/cli": [
    ...["client/src", "commander", "core/src/index.ts", "native/lib", "native/lib/*"],
    ...["node:*", "server/src/models", "server/src/node.ts", "server/src/platform"],
    ...["server/src/round-id.ts", "server/src/settings", "server/src/start-model.ts"],
    ...["server/src/store", "server/src/version.ts"],
  ],
  "server/src/index.ts": [
    ...["server/src/doors/trpc", "server/src/node.ts", "server/src/server.ts"],
    "server/src/settings",
  ],
  "server/src/node.ts": [
    ...["core/src/index.ts", "server/src/callbacks", "server/src/round-id.ts"],
    ...["server/src/runners", "server/src/server.ts", "server/src/settings"],
    ...["server/src/start-model.ts", "server/src/store"],
  ],
  "server/src/start-model.ts": [
    ...["core/src/index.ts", "native/lib/model", "server/src/models", "server/src/platform"],
    ...["server/src/runners", "server/src/settings"],
  ],
  "server/src/server.ts": [
    ...["@fastify/cors", "core/src/index.ts", "fastify", "server/src/api-docs"],
    ...["server/src/doors/rest", "server/src/doors/trpc", "server/src/http"],
    ...["server/src/inference", "server/src/platform", "server/src/settings"],
  ],
  "server/src/api-docs": [
    ...["@fastify/swagger", "core/src/index.ts", "fastify", "fastify-type-provider-zod"],
    ...["server/src/inference", "server/src/version.ts"],
  ],
  "server/src/doors/trpc": [
    ...["@fastify/websocket", "@trpc/server", "core/src/index.ts", "fastify", "node:*"],
    ...["server/src/http", "server/src/inference", "server/src/version.ts", "ws", "zod"],
    "server/src/doors/rest",
  ],
  "server/src/doors/rest": [
    ...["core/src/index.ts", "fastify", "server/src/http", "server/src/inference"],
    ...["server/src/version.ts", "zod"],
  ],
  "server/src/inference": [
    ...["@fastify/reply-from", "core/src/index.ts", "fastify", "node:*", "ulid", "undici"],
  ],
  "server/src/http": ["core/src/index.ts", "fastify", "node:*", "ulid", "ws"],
  "server/src/store": [
    ...["core/src/index.ts", "libsql", "node:*", "server/src/callbacks", "server/src/platform"],
  ],
  "server/src/callbacks": ["core/src/index.ts", "node:*", "server/src/version.ts", "undici"],
  // The process of its own that a runner has: of the node, it alone loads the addon.
  "server/src/runners/child.ts": ["native/lib", "server/src/runners"],
  "server/src/runners": ["core/src/index.ts", "native/lib/model", "node:*", "server/src/platform"],
  "server/src/settings": [
    ...["commander", "core/src/index.ts", "native/lib/model", "node:*", "server/src/models"],
    "server/src/platform",
  ],
  "server/src/models": [
    ...["@huggingface/hub", "native/lib/model", "node:*", "server/src/platform"],
    ...["server/src/version.ts", "undici"],
  ],
  "server/src/platform": ["core/src/index.ts", "node:*"],
  "server/src/round-id.ts": ["ulid"],
  "server/src/version.ts": ["node:*", "packages/server/package.json"],

  // What a coordinator installs.
  "client/build.mjs": ["esbuild", "node:*"],
  "client/src": ["@trpc/client", "core/src/wire", "node:crypto", "node:http", "ws", "zod"],

  // Seeds, tensors and devices.
  "native/test/cuda_emulated": ["native/src/device/cuda"],
  "native/test": ["native/src/device", "native/src/device/cpu", "native/src/model"],
  "native/lib/selftest": ["core/src/index.ts", "native/lib", "native/lib/model", "node:*"],
  "native/lib": [
    ...["core/src/index.ts", "native/lib/model", "node:*"],
    "packages/native/build/Release/proofmill.node",
  ],
  "native/lib/model": ["node:*", "zod"],
  "native/src/addon": [
    ...["<napi.h>", "native/src/device", "native/src/device/cuda", "native/src/engine"],
    "native/src/model",
  ],
  "native/src/engine": ["native/src/device", "native/src/model"],
  "native/src/model": ["native/src/device"],
  "native/src/device/cpu": [
    ...["<arm_neon.h>", "<emmintrin.h>", "<immintrin.h>", "<sys/*", "<xmmintrin.h>"],
    "native/src/device",
  ],
  "native/src/device/cuda": [
    ...["<cuda.h>", "<cuda_runtime.h>", "<dlfcn.h>", "<glob.h>", "native/src/device"],
  ],
  "native/src/device": ["<fcntl.h>", "<sys/*", "<unistd.h>"],

  // The protocol and the round, without sockets, files or pointers.
  "core/src/index.ts": [
    ...["core/src/proof/distance", "core/src/round", "core/src/runner", "core/src/service.ts"],
    ...["core/src/util", "core/src/wire"],
  ],
  "core/src/service.ts": [
    ...["core/src/proof/distance", "core/src/round", "core/src/runner", "core/src/util"],
    "core/src/wire",
  ],
  "core/src/round": [
    ...["core/src/proof/distance", "core/src/runner", "core/src/util", "core/src/wire"],
    "node:timers/promises",
  ],
  "core/src/proof/distance": ["core/src/proof", "core/src/wire", "node:crypto"],
  "core/src/proof": ["@stdlib/math-base-special-betainc", "node:module"],
  "core/src/runner/fake.ts": ["core/src/runner", "node:timers/promises"], // for tests alone
  "core/src/runner": [],
  "core/src/util": [],
  "core/src/wire": ["zod"],
};
