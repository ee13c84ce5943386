/** What a test imports from a package of ours is its source, so that no test is of an older build. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const PACKAGES = fileURLToPath(new URL("../packages", import.meta.url));

interface Manifest {
  name: string;
  exports: Record<string, { "@proofmill/source": string }>;
}

/** The modules that a `*` in the path of an export stands for; [""] without one. */
function wildcards(path: string): string[] {
  if (!path.includes("*")) return [""];
  const modules = readdirSync(dirname(path)).filter((file) => /(?<!\.test)\.ts$/.test(file));
  return modules.map((file) => file.replace(/\.ts$/, ""));
}

const entries = ["core", "native", "client", "server"].flatMap((folder) => {
  const file = join(PACKAGES, folder, "package.json");
  const { name, exports }: Manifest = JSON.parse(readFileSync(file, "utf8"));
  return Object.entries(exports).flatMap(([path, conditions]) => {
    const source = join(PACKAGES, folder, conditions["@proofmill/source"]);
    return wildcards(source).map((each) => ({
      specifier: name + path.slice(1).replace("*", each),
      source: source.replace("*", each),
    }));
  });
});

test.each(entries)("$specifier", async ({ specifier, source }) => {
  // One module, not two with the same contents: a build would have objects of its own.
  expect(await import(specifier)).toBe(await import(source));
});
