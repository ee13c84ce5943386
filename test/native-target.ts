/** Targets of the addon's build that only tests need. */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

export const NATIVE_BUILD = fileURLToPath(new URL("../packages/native/build", import.meta.url));

/** Brings a target up to date. Test files run at the same time, but only one of them builds. */
export function buildNativeTarget(target: string): void {
  execFileSync("flock", [NATIVE_BUILD, "cmake", "--build", NATIVE_BUILD, "--target", target]);
}
