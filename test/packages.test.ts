/** Our packages as a registry would get them: packed by pnpm and looked at by publint. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { beforeAll, describe, expect, test } from "vitest";
import { temporaryFolder } from "./helpers.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const PNPM = join(ROOT, "node_modules", "pnpm", "bin", "pnpm.cjs");

/** The paths at the leaves of a manifest's field, e.g. of `exports`. */
function targets(field: unknown): string[] {
  if (typeof field === "string") return [field.replace(/^\.\//, "")];
  return Object.values(field ?? {}).flatMap(targets);
}

describe.each([".", "packages/core", "packages/native", "packages/client", "packages/server"])(
  "%s",
  (name) => {
    const folder = join(ROOT, name);
    const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    let archive: string;

    beforeAll(() => {
      const args = [PNPM, "pack", "--json", "--pack-destination", temporaryFolder()];
      const options = { cwd: folder, encoding: "utf8" } as const;
      archive = JSON.parse(execFileSync(process.execPath, args, options)).filename;
    });

    test("publint finds nothing", async () => {
      const tarball = new Uint8Array(readFileSync(archive)).buffer;
      const { messages } = await publint({ strict: true, pack: { tarball } });
      expect(messages.map((message) => formatMessage(message, manifest))).toEqual([]);
    });

    test("holds the licence and whatever its manifest leads to", () => {
      const list = execFileSync("tar", ["-tzf", archive], { encoding: "utf8" });
      const packed = list.split("\n").map((path) => path.replace(/^package\//, ""));
      const { exports, imports, bin } = manifest;
      const missing = ["LICENSE", ...[exports, imports, bin].flatMap(targets)].filter((path) => {
        const [start = "", end = ""] = path.split("*");
        return !packed.some((each) => each.startsWith(start) && each.endsWith(end));
      });
      expect(missing).toEqual([]);
    });

    test("says what it is and where it runs", () => {
      expect(manifest).toMatchObject({
        version: "0.1.0",
        description: expect.stringContaining("Proof-of-Compute"),
        license: "Apache-2.0",
        keywords: expect.arrayContaining(["proof-of-compute"]),
        engines: { node: ">=20.19" },
      });
    });
  },
);
