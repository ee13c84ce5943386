/** The runner's process: the only one that ever loads the addon. */
import { hostRunner } from "./host.ts";

hostRunner(async (options, onNotice) => {
  // Imported here so that an addon that cannot be loaded is a load error like any other.
  const { loadModel } = await import("@proofmill/native");
  return loadModel({ ...options, onNotice });
});
