// Formats the addon's C++ and the GPU probes in place; with --check it only says what is not formatted, and fails.
import { readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { runToEnd } from "./child.mjs";
import { root } from "./setup.mjs";

const FOLDERS = ["packages/native/src", "packages/native/test", "test/gpu"];

const files = FOLDERS.map((name) => join(root, name)).flatMap((folder) =>
  readdirSync(folder, { recursive: true })
    .filter((file) => /\.(cc|h|cu|cuh)$/.test(file))
    .sort()
    .map((file) => join(folder, file)),
);

try {
  const check = process.argv.includes("--check") ? ["--dry-run", "-Werror"] : ["-i"];
  process.exitCode = await runToEnd(binary(), [...check, ...files], { stdio: "inherit" });
} catch (error) {
  console.error(`clang-format could not be run: ${error.message}`);
  process.exitCode = 1;
}

/** The npm package's own start script formats one file at a time; its binary takes them all. */
function binary() {
  const { platform, arch } = process;
  if (arch !== "x64" && platform !== "darwin") return "clang-format"; // none in the package: PATH
  const folder = dirname(createRequire(import.meta.url).resolve("clang-format/package.json"));
  const name =
    platform === "win32" ? ["win32", "clang-format.exe"] : [`${platform}_x64`, "clang-format"];
  return join(folder, "bin", ...name);
}
