import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** What takes the longest begins first, so that no worker is left with it at the end. */
const LONGEST = [/\/test\/soak\//, /\/test\/conformance\//, /\/test\//];

/** Where no run has measured files yet, as on a machine of CI's, vitest knows their sizes alone. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const place = ({ moduleId }: TestSpecification) => {
      const at = LONGEST.findIndex((folder) => folder.test(moduleId));
      return at === -1 ? LONGEST.length : at;
    };
    return sorted.toSorted((a, b) => place(a) - place(b));
  }
}

export default defineConfig({
  // Our packages are tested as they stand in the source, not as they were last built. These are the
  // conditions by which a test finds them; all but the first are Vite's own.
  ssr: {
    resolve: { conditions: ["@proofmill/source", "module", "node", "development|production"] },
  },
  test: {
    // Much of the time is waiting, for processes, sockets and clocks: three fill two cores.
    maxWorkers: 3,
    sequence: { sequencer: LongestFirst },
    // For what hangs. What takes seconds takes a minute where others use the cores too.
    testTimeout: 180_000,
    hookTimeout: 180_000,
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
