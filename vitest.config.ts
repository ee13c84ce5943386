import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["packages/*/{src,lib}/**/*.test.ts", "test/**/*.test.ts"],
    // Much of the time is waiting: for processes, sockets and clocks.
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
