import { defineConfig } from "vitest/config";

export default defineConfig({
  // Our packages are tested as they stand in the source, not as they were last built. These are the
  // conditions by which a test finds them; all but the first are Vite's own.
  ssr: {
    resolve: { conditions: ["@proofmill/source", "module", "node", "development|production"] },
  },
  test: {
    // Much of the time is waiting: for processes, sockets and clocks.
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    projects: [
      {
        extends: true,
        test: {
          name: "source",
          include: ["packages/{core,client,dashboard,native}/{src,lib}/**/*.test.ts"],
        },
      },
      {
        extends: true,
        test: {
          name: "built",
          include: ["packages/server/src/**/*.test.ts", "test/**/*.test.ts"],
          // They start threads and processes, which run what is built.
          globalSetup: "scripts/vitest-setup.mjs",
        },
      },
    ],
  },
});
