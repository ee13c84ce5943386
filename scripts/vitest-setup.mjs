// Threads and processes run what is built, and so do the tests that start them: a run of these
// begins with a build, and so does each further run while vitest watches.
import { setup as build } from "./setup.mjs";

/** @param {import("vitest/node").TestProject} project */
export async function setup(project) {
  await build();
  project.onTestsRerun(build);
}
