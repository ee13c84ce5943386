// `npm run bench`: every bench in a short form, one after the other; `npm run bench -- prefill …` or
// `-- serve …` is one of them with arguments of its own. It ends with the first one that fails.
import { join } from "node:path";
import { runToEnd } from "./child.mjs";
import { root, setup } from "./setup.mjs";

const CLI = join(root, "packages", "server", "bin", "proofmill.mjs");
/** Arguments for runs of a few seconds each. */
const SHORT = {
  rest: ["10", "1"],
  status: ["10000", "100"],
  callbacks: ["3", "1"],
  gate: ["1000"],
  subscribers: ["100", "500", "5"],
  serve: ["qwen3-tiny", "2"],
  page: ["3", "1"],
};
/** @param {string} name @param {readonly string[]} args */
const benchOf = (name, args) => [join(root, "test", "bench", `${name}.mjs`), ...args];

await setup();
const args = process.argv.slice(2);
const [first, ...others] = args;
const runs = first in SHORT ? [benchOf(first, others)] : [[CLI, "bench", ...args]];
if (args.length === 0) {
  for (const [name, short] of Object.entries(SHORT)) runs.push(benchOf(name, short));
}
for (const run of runs) {
  process.exitCode = await runToEnd(process.execPath, run, { stdio: "inherit" });
  if (process.exitCode !== 0) break;
}
