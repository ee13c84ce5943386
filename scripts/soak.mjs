// `npm run soak`: every scenario of test/soak/; `npm run soak -- NAME…` plays some of them, and
// `--share 0.1` a tenth of each.
import { join } from "node:path";
import { runToEnd } from "./child.mjs";
import { MALLOC } from "./malloc.mjs";
import { root, setup } from "./setup.mjs";

await setup();
const run = join(root, "test", "soak", "run.mjs");
process.exitCode = await runToEnd(process.execPath, [run, ...process.argv.slice(2)], {
  stdio: "inherit",
  env: { ...MALLOC, ...process.env },
});
