/** What tests of all packages share: a runner that pretends, and why something is not tested here. */
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

export * from "./runner/fake.ts";

/**
 * Whether a test is skipped, for `skipIf`. The reason is printed: nobody sees what has not run.
 *
 * @param why null: it runs
 */
export function skipped(why: string | null): boolean {
  if (why !== null) console.warn(`skipped: ${why}`);
  return why !== null;
}

/** Why what only Linux has is not tested; null on Linux. */
export const notLinux = process.platform === "linux" ? null : "there is no Linux here";

/** The first program of these names on the path; null: there is none. */
export function programOf(...names: readonly string[]): string | null {
  for (const folder of (process.env.PATH ?? "").split(delimiter)) {
    for (const name of names) {
      try {
        accessSync(join(folder, name), constants.X_OK);
        return join(folder, name);
      } catch {
        // not here
      }
    }
  }
  return null;
}

/** Why what these programs do is not tested; null: all of them are on the path. */
export function lacking(...names: readonly string[]): string | null {
  const missing = names.filter((name) => programOf(name) === null);
  return missing.length === 0 ? null : `there is no ${missing.join(" and no ")} here`;
}
