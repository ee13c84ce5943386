/** The runner's process: the only one that ever loads the addon. */
import { hostRunner } from "./host.ts";

// The channel's end is seen by a process that runs; the kernel sees to one that is stopped. Imported
// here so that an addon that cannot be loaded is a load error like any other.
const bound = import("@proofmill/native/end-with-parent").then(({ endWithParent }) =>
  endWithParent(Number(process.argv[2])),
);
bound.catch(() => {}); // the load says it

hostRunner(async (options, told) => {
  await bound;
  const { loadModel, warmUp } = await import("@proofmill/native");
  const runner = await loadModel({ ...options, ...told });
  return { runner, warmUp: await warmUp(runner) };
});
