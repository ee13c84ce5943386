/** Targets of the addon's build that only tests need. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const NATIVE_BUILD = fileURLToPath(new URL("../packages/native/build", import.meta.url));

/** Runs it when no other test file does so: they run at the same time. */
function alone(...command: string[]): void {
  execFileSync("flock", [NATIVE_BUILD, ...command], { cwd: dirname(NATIVE_BUILD) });
}

/** Brings a target up to date. */
export function buildNativeTarget(target: string): void {
  // Where the addon came out of turbo's cache, nothing has been configured here.
  if (!existsSync(join(NATIVE_BUILD, "CMakeCache.txt"))) alone("npx", "cmake-js", "configure");
  alone("cmake", "--build", NATIVE_BUILD, "--target", target);
}
