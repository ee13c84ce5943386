/** The table of rooms: what it does not name is forbidden. `rules.ts` says how it is read. */
import type { Rooms } from "./rules.ts";

export const ROOMS: Rooms = {
  // What is run by hand, and tests of the whole.
  scripts: "server/bin node:*",
  examples: "client/src node:*",
  "test/house": "node:* vitest",
  "test/clock": "node:*",
  "test/fuzz": `
    core/src/testing.ts core/src/index.ts native/lib server/src/models server/src/text test/soak fast-check node:* vitest ws`,
  "test/soak": "core/src/testing.ts client/src test/attack test/page node:* playwright-core vitest",
  "test/page": "core/src/testing.ts client/src test node:* playwright-core vitest ws",
  "test/attack": `
    core/src/testing.ts client/src native/lib/model server/src/index.ts test test/bench
    @trpc/client node:* vitest ws`,
  "test/bench": "client/src native/lib native/lib/model server/src/* fastify node:*",
  "test/sdk": `
    core/src/testing.ts client/src client/src/trpc.ts core/src/index.ts server/src/* test
    @trpc/* esbuild fastify node:* vitest ws`,
  "test/openai": `
    core/src/index.ts native/lib server/src/index.ts server/src/models test
    test/conformance @ai-sdk/openai-compatible ai node:* openai vitest`,
  "test/gpu":
    "core/src/testing.ts native/src/device/cuda test test/conformance <unistd.h> node:* vitest",
  "test/scheme": `
    core/src/index.ts core/src/round core/src/runner core/src/util server/src/callbacks
    server/src/store esbuild node:* vitest`,
  "test/e2e": `
    core/src/testing.ts client/src core/src/index.ts native/lib/model server/tests test test/conformance node:* vitest
    ws`,
  "test/conformance":
    "core/src/testing.ts core/src/index.ts native/lib native/lib/* test test/mlnode fast-check node:* vitest",
  "test/mlnode": "core/src/testing.ts test node:* vitest",
  "test/deploy":
    "core/src/testing.ts client/src core/src/index.ts server/src/index.ts test node:* vitest yaml",
  test: "core/src/index.ts core/src/testing.ts server/src/index.ts node:* publint vitest ws",

  "server/tests": `
    client/src client/src/trpc.ts core/src/index.ts core/src/testing.ts native/lib/model server/src/*
    @huggingface/tokenizers @trpc/client commander fastify libsql node:* openai ulid vitest ws zod`,
  "dashboard/tests": "core/src/index.ts dashboard/src dashboard/src/node vitest",
  "client/tests": "client/src fastify node:* vitest",
  "native/tests": "core/src/index.ts core/src/testing.ts native/lib native/lib/* node:* vitest",
  "core/tests": "core/src/* fast-check node:* vitest zod",

  // The node, from the command line down.
  "server/bin": "server/src/main.ts node:*",
  "server/src/main.ts": "server/src/cli",
  "server/src/cli": `
    client/src core/src/index.ts native/lib native/lib/* server/src/access
    server/src/callback-options.ts server/src/callbacks server/src/doctor server/src/models
    server/src/node.ts server/src/platform server/src/round-id.ts server/src/runners
    server/src/settings server/src/start-model.ts
    server/src/store server/src/version.ts
    commander node:*`,
  "server/src/doctor": `
    core/src/index.ts server/src/access server/src/callbacks server/src/http/connections server/src/platform server/src/settings server/src/store
    node:*`,
  "server/src/index.ts": "server/src/node.ts server/src/settings",
  "server/src/node.ts": `
    core/src/index.ts server/src/access server/src/callback-options.ts server/src/callbacks server/src/completions
    server/src/health.ts server/src/held-model.ts server/src/history server/src/platform server/src/round-id.ts server/src/round-log.ts
    server/src/runners server/src/server.ts
    server/src/settings server/src/start-model.ts
    server/src/store server/src/text`,
  "server/src/callback-options.ts": "server/src/access server/src/callbacks server/src/settings",
  "server/src/start-model.ts": `
    core/src/index.ts native/lib/model server/src/models server/src/platform server/src/runners
    server/src/settings`,
  "server/src/server.ts": `
    core/src/index.ts server/src/access server/src/api-docs server/src/calls.ts
    server/src/completions server/src/doors/mlnode server/src/doors/openai server/src/doors/rest server/src/doors/trpc server/src/health.ts server/src/held-model.ts server/src/history server/src/http server/src/http/bodies server/src/http/connections
    server/src/inference
    server/src/metrics server/src/page.ts server/src/platform server/src/settings
    server/src/version.ts @fastify/cors fastify`,
  // The dashboard's files, as they are built.
  "server/src/page.ts": "fastify node:*",
  "server/src/api-docs": `
    core/src/index.ts server/src/access server/src/callbacks server/src/completions
    server/src/inference server/src/settings server/src/version.ts fastify node:* zod`,
  "server/src/doors/trpc": `
    client/src/trpc.ts core/src/index.ts server/src/access server/src/calls.ts server/src/http server/src/http/bodies server/src/http/connections
    @fastify/websocket @trpc/server fastify node:* ws`,
  "server/src/doors/openai": `
    server/src/calls.ts server/src/completions server/src/http server/src/http/connections server/src/inference fastify
    node:*`,
  "server/src/doors/rest":
    "core/src/index.ts server/src/access server/src/calls.ts server/src/http server/src/http/bodies server/src/http/connections fastify",
  // What the network's broker asks, of the same service.
  "server/src/doors/mlnode": `
    core/src/index.ts server/src/held-model.ts server/src/http server/src/http/bodies server/src/http/connections
    server/src/platform fastify`,
  "server/src/held-model.ts": "",
  // What the doors call: the service, and what a node says of itself.
  "server/src/calls.ts":
    "core/src/index.ts server/src/health.ts server/src/history server/src/inference server/src/version.ts",
  "server/src/metrics": `
    core/src/index.ts server/src/access server/src/callbacks server/src/health.ts
    server/src/platform server/src/version.ts fastify prom-client`,
  "server/src/health.ts": "core/src/index.ts",
  "server/src/inference": "core/src/index.ts @fastify/reply-from fastify node:* ulid undici",
  // What a node remembers of its last day.
  "server/src/history": "core/src/index.ts server/src/callbacks",
  "server/src/http": `
    core/src/index.ts server/src/access server/src/http/bodies server/src/http/connections fastify node:* ulid ws`,
  // How JSON of any size and kind is read without holding up the rest.
  "server/src/http/bodies": "core/src/index.ts server/src/platform node:*",
  // From a socket to its requests and messages, one after the other, and back.
  "server/src/http/connections": "server/src/access fastify node:*",
  // Answers by the node's own model, without a socket.
  "server/src/completions": `
    core/src/index.ts server/src/platform server/src/text node:* zod`,
  // A model's words: its tokenizer and its chat template.
  "server/src/text": `
    core/src/index.ts native/lib/model server/src/platform server/src/text/byte-alphabet.ts
    @huggingface/jinja @huggingface/tokenizers node:*`,
  "server/src/store": "core/src/index.ts server/src/callbacks server/src/platform libsql node:*",
  "server/src/callbacks": "core/src/index.ts server/src/version.ts node:* undici",
  // The process of its own that a runner has: of the node, it alone loads the addon.
  "server/src/runners/child.ts": "native/lib server/src/runners",
  "server/src/runners/devices-child.ts": "native/lib server/src/runners",
  "server/src/runners": "core/src/index.ts native/lib/model server/src/platform node:*",
  "server/src/settings": `
    core/src/index.ts native/lib/model server/src/access server/src/models server/src/platform
    commander node:*`,
  "server/src/models": `
    core/src/index.ts native/lib/model server/src/platform server/src/text/byte-alphabet.ts
    server/src/version.ts @huggingface/hub node:* undici`,
  "server/src/round-log.ts": "core/src/index.ts fastify",
  // Keys, what they allow, and how often.
  "server/src/access": "core/src/index.ts server/src/platform fastify node:*",
  "server/src/platform": "core/src/index.ts node:* pino-pretty",
  "server/src/round-id.ts": "ulid",
  "server/src/text/byte-alphabet.ts": "",
  "server/src/version.ts": "packages/server/package.json node:*",

  // The page, an ordinary user of the SDK.
  "dashboard/build.mjs": "node:* vite",
  "dashboard/src/main.tsx": "dashboard/src dashboard/src/node dashboard/src/view preact",
  "dashboard/src/view": `
    client/src dashboard/src dashboard/src/node @preact/signals preact uplot`,
  // What the page knows of nodes.
  "dashboard/src/node": "client/src core/src/wire dashboard/src @preact/signals zod",
  "dashboard/src": "@preact/signals zod",

  // What a coordinator installs.
  "client/build.mjs": "esbuild node:*",
  "client/src/trpc.ts": "core/src/wire @trpc/server",
  "client/src": "core/src/util/backoff.ts core/src/wire @trpc/client node:crypto node:http ws zod",

  // Seeds, tensors and devices.
  "native/test/cuda_emulated": "native/src/device/cuda",
  "native/test": "native/src/device native/src/device/cpu native/src/engine",
  "native/lib/selftest": "core/src/index.ts native/lib native/lib/model node:*",
  "native/lib": `
    core/src/index.ts native/lib/model packages/native/build/Release/proofmill.node
    node:*`,
  "native/lib/model": "node:* zod",
  "native/src/addon": `
    native/src/device native/src/device/cuda native/src/engine native/src/model native/src/proof
    <napi.h> <sys/prctl.h> <unistd.h>`,
  "native/src/engine": "native/src/device native/src/model native/src/proof",
  "native/src/model": "native/src/device",
  "native/src/proof": "native/src/device",
  "native/src/device/cpu": `
    native/src/device
    <arm_neon.h> <emmintrin.h> <immintrin.h> <sys/* <xmmintrin.h>`,
  "native/src/device/cuda": "native/src/device <cuda.h> <cuda_runtime.h> <dlfcn.h> <glob.h>",
  "native/src/device": "<fcntl.h> <sys/* <unistd.h>",

  // The protocol and the round, without sockets, files or pointers.
  "core/src/index.ts": `
    core/src/proof core/src/proof/artifact core/src/proof/distance core/src/proof/schemes.ts
    core/src/round core/src/runner core/src/service.ts core/src/util
    core/src/util/backoff.ts core/src/wire`,
  "core/src/service.ts": `
    core/src/artifacts.ts core/src/proofs.ts core/src/proof/distance core/src/proof/schemes.ts
    core/src/round core/src/runner core/src/service-options.ts core/src/util core/src/wire`,
  "core/src/proofs.ts": `
    core/src/proof core/src/proof/distance core/src/round core/src/service-options.ts core/src/util
    core/src/wire`,
  "core/src/service-options.ts": "core/src/round core/src/util core/src/wire",
  // What the service's callers ask of rounds of artifacts.
  "core/src/artifacts.ts": `
    core/src/artifact-jobs.ts core/src/proof/artifact core/src/round core/src/wire`,
  "core/src/artifact-jobs.ts": `
    core/src/proof core/src/proof/artifact core/src/round core/src/util core/src/wire node:crypto`,
  "core/src/round": `
    core/src/proof core/src/runner core/src/util core/src/wire
    node:timers/promises`,
  // All proofs that there are; whatever else asks the scheme that it is given.
  "core/src/proof/schemes.ts": "core/src/proof core/src/proof/artifact core/src/proof/distance",
  "core/src/proof/artifact": "core/src/proof core/src/runner core/src/wire",
  "core/src/proof/distance": "core/src/proof core/src/wire",
  "core/src/proof": "core/src/runner @stdlib/math-base-special-betainc node:crypto node:module",
  // For tests alone.
  "core/src/testing.ts": "core/src/runner/fake.ts node:*",
  "core/src/runner/fake.ts":
    "core/src/runner core/src/runner/fake-sessions.ts node:timers/promises",
  "core/src/runner/fake-sessions.ts": "core/src/runner node:timers/promises",
  "core/src/runner": "",
  "core/src/util": "node:timers/promises",
  "core/src/util/backoff.ts": "", // apart from the rest, since it runs in browsers
  "core/src/wire": "zod",
};
