// `npm run attack`: every scenario of test/attack/; `npm run attack -- NAME…` plays some of them.
import { join } from "node:path";
import { runToEnd } from "./child.mjs";
import { MALLOC } from "./malloc.mjs";
import { root, setup } from "./setup.mjs";

await setup();
const run = join(root, "test", "attack", "run.mjs");
process.exitCode = await runToEnd(process.execPath, [run, ...process.argv.slice(2)], {
  stdio: "inherit",
  env: { ...MALLOC, ...process.env },
});
