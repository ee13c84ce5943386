// `npm run fuzz`: drawn requests and model files; `npm run fuzz -- requests --seed 7` some of them.
import { join } from "node:path";
import { runToEnd } from "./child.mjs";
import { root, setup } from "./setup.mjs";

await setup();
const run = join(root, "test", "fuzz", "run.mjs");
process.exitCode = await runToEnd(process.execPath, [run, ...process.argv.slice(2)], {
  stdio: "inherit",
});
