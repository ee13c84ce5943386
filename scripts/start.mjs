// `npm start`: set-up, then the command line with what follows. It ends with
// the command's exit code and hands signals on to it.
import { join } from "node:path";
import { runToEnd } from "./child.mjs";
import { MALLOC } from "./malloc.mjs";
import { root, setup } from "./setup.mjs";

await setup();
const bin = join(root, "packages", "server", "bin", "proofmill.mjs");
process.exitCode = await runToEnd(process.execPath, [bin, ...process.argv.slice(2)], {
  stdio: "inherit",
  env: { ...MALLOC, ...process.env },
});
