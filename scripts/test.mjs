// `npm test`: set-up, then every test; `npm test -- packages/core` runs a part. `npm run test:watch`
// goes on with the tests that a change touches.
import { join } from "node:path";
import { runToEnd } from "./child.mjs";
import { root, setup } from "./setup.mjs";

await setup();
const vitest = join(root, "node_modules", "vitest", "vitest.mjs");
process.exitCode = await runToEnd(process.execPath, [vitest, ...process.argv.slice(2)], {
  cwd: root,
  stdio: "inherit",
});
