// What `npm run build` does, and `npm start` and `npm test` do first: dependencies, addon, packages.
// All it prints goes to stderr: stdout belongs to what is started afterwards.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { refuseOldNode } from "../packages/server/bin/node-version.mjs";
import { runToEnd } from "./child.mjs";
import { Progress } from "./progress.mjs";
import { missingTools } from "./toolchain.mjs";

export const root = fileURLToPath(new URL("..", import.meta.url));

/** Inside node_modules, so that it goes when they go. */
const STAMP = "node_modules/.proofmill-setup";

/** Where the dependencies' commands are. */
const BIN = join(root, "node_modules", ".bin");

/** The npm registry is all that set-up talks to: no telemetry, no look-up of newer versions. */
const QUIET = {
  TURBO_TELEMETRY_DISABLED: "1",
  TURBO_NO_UPDATE_NOTIFIER: "1",
  DO_NOT_TRACK: "1",
  npm_config_update_notifier: "false",
  NO_COLOR: "1",
};

const INTERRUPTS = ["SIGINT", "SIGTERM", "SIGHUP"];

/** make compiles one file after the other unless it is told. */
const PARALLEL = { CMAKE_BUILD_PARALLEL_LEVEL: String(availableParallelism()) };

/**
 * Installs dependencies when they have changed and builds what is out of date; a second run finds
 * nothing to do within half a second, and says nothing. Where it fails, the reason is on stderr and
 * the process ends.
 */
export async function setup() {
  refuseOldNode();
  const missing = missingTools();
  if (missing) fail(missing, 1);
  const wanted = fingerprint();
  if (wanted !== read(STAMP)) {
    await run("npx", [
      "--yes",
      JSON.parse(read("package.json") ?? "{}").packageManager,
      "install",
      "--frozen-lockfile",
      // It would ask before it replaces node_modules of another layout, and nobody answers.
      "--config.confirm-modules-purge=false",
    ]);
    writeFileSync(join(root, STAMP), wanted);
  }
  // turbo hashes every input, so whatever was edited, added or removed is built again.
  await run(process.execPath, [
    join(root, "node_modules", "turbo", "bin", "turbo"),
    ...["run", "build", "addon", "--output-logs=new-only"],
  ]);
}

/** Changes whenever an install could come out differently. */
function fingerprint() {
  const hash = createHash("sha256");
  hash.update(`${process.version} ${process.platform} ${process.arch}`);
  const manifests = ["package.json", "pnpm-lock.yaml", "pnpm-workspace.yaml"];
  const folders = readdirSync(join(root, "packages"))
    .sort()
    .map((name) => `packages/${name}`);
  for (const folder of [...folders, "test", "examples"]) manifests.push(`${folder}/package.json`);
  for (const file of manifests) hash.update(`\0${file}\0${read(file) ?? ""}`);
  return hash.digest("hex");
}

/** A file's text; null when there is none. */
function read(file) {
  try {
    return readFileSync(join(root, file), "utf8");
  } catch (error) {
    if (error.code === "ENOENT") return null;
    throw error;
  }
}

/** Runs a tool to its end. What it prints is shown only where it fails. */
async function run(command, args) {
  const printed = [];
  const progress = new Progress((line) => console.error(`proofmill: ${line}`));
  if (command === "npx") progress.begin("installing dependencies");
  // turbo ends with 0 when it is interrupted.
  let interrupted = 0;
  const interrupt = (_, number) => {
    interrupted = 128 + number;
  };
  for (const signal of INTERRUPTS) process.on(signal, interrupt);
  const code = await runToEnd(command, args, {
    cwd: root,
    // turbo looks for pnpm on the path.
    env: { ...PARALLEL, ...process.env, ...QUIET, PATH: `${BIN}${delimiter}${process.env.PATH}` },
    stdio: ["ignore", "pipe", "pipe"],
    shell: process.platform === "win32", // where npx is a batch file
    onLine: (line) => {
      printed.push(line);
      progress.read(line);
    },
  });
  progress.end();
  for (const signal of INTERRUPTS) process.off(signal, interrupt);
  if (interrupted > 0) fail("interrupted; the next start goes on with what is built", interrupted);
  if (code === 0) return;
  console.error(printed.join("\n"));
  const step = command === "npx" ? "installing dependencies" : "the build";
  fail(`set-up failed: ${step} ended with ${code}`, code);
}

function fail(message, code) {
  console.error(`proofmill: ${message}`);
  process.exit(code);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await setup();
