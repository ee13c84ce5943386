// `npm run bundle`: one archive that runs on a machine without Node, without a compiler and without
// a network. It holds Node itself, the built packages with what they depend on, the CUDA library
// where one was built, the golden data and the benches.
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import { MALLOC } from "./malloc.mjs";
import { root, setup } from "./setup.mjs";

const MAX_BYTES = 60 * 2 ** 20;
const CUDA_LIBRARY = "packages/native/build/Release/libproofmill_cuda.so";
/** Of the repository, beside the packages. */
const FILES = [
  ...["README.md", "AGENTS.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "SECURITY.md"],
  ...["deploy", "docs", "examples", "packages/client/README.md", "test/bench"],
];
const PACKAGES = ["core", "native", "client", "dashboard", "server"];
/** What a package's folder holds that nothing runs. */
const UNUSED = /\.(d\.[cm]?ts|map|md|markdown)$|\/(test|tests|docs|benchmarks?|\.github)$/;

const outDir = readOutDir();

await setup();
const { version } = json(join(root, "package.json"));
const name = `proofmill-${version}-${process.platform}-${process.arch}`;
const work = mkdtempSync(join(tmpdir(), "proofmill-bundle-"));
process.once("exit", () => rmSync(work, { recursive: true, force: true }));
const bundle = join(work, name);

for (const file of FILES) {
  cpSync(join(root, file), join(bundle, file), { recursive: true });
}
const modules = join(bundle, "node_modules");
mkdirSync(join(modules, "@proofmill"), { recursive: true });
for (const each of PACKAGES) copyWorkspacePackage(each);
for (const each of PACKAGES) copyDependencies(join(root, "packages", each), []);
copyNode();
writeFileSync(join(bundle, "proofmill"), launcher(), { mode: 0o755 });

const archive = resolve(outDir, `${name}.tar.gz`);
mkdirSync(dirname(archive), { recursive: true });
execFileSync("tar", ["-C", work, "--owner=0", "--group=0", "-czf", archive, name]);
const { size } = statSync(archive);
const mib = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
if (size > MAX_BYTES) {
  console.error(`proofmill: ${archive} is ${mib(size)}, more than ${mib(MAX_BYTES)}`);
  process.exit(1);
}
if (!existsSync(join(bundle, CUDA_LIBRARY))) {
  console.error(
    "proofmill: there is no CUDA compiler (nvcc 12.4 or later): the bundle runs on the CPU only",
  );
}
console.error(`proofmill: ${relative(process.cwd(), archive)}, ${mib(size)}`);

function readOutDir() {
  try {
    const options = { "out-dir": { type: "string", default: join(root, "dist") } };
    return parseArgs({ options }).values["out-dir"];
  } catch {
    console.error(`proofmill: expected [--out-dir FOLDER], got ${process.argv.slice(2).join(" ")}`);
    process.exit(2);
  }
}

function copyWorkspacePackage(each) {
  const from = join(root, "packages", each);
  const to = join(bundle, "packages", each);
  for (const part of ["package.json", "bin", "dist"]) {
    if (existsSync(join(from, part))) copy(join(from, part), join(to, part));
  }
  if (each === "native") {
    const golden = "packages/native/lib/selftest/golden";
    cpSync(join(root, golden), join(bundle, golden), { recursive: true });
    for (const file of ["packages/native/build/Release/proofmill.node", CUDA_LIBRARY]) {
      if (!existsSync(join(root, file))) continue;
      cpSync(join(root, file), join(bundle, file));
      strip(join(bundle, file));
    }
  }
  symlinkSync(`../../packages/${each}`, join(modules, "@proofmill", each));
}

/**
 * Everything that the package at `from` needs, where Node will look for it: at the top, unless
 * another version is there already; then beside those who need it.
 *
 * @param {string} from its real folder here
 * @param {readonly string[]} path the packages that led here, outermost first
 */
function copyDependencies(from, path) {
  const { dependencies = {}, optionalDependencies = {} } = json(join(from, "package.json"));
  for (const dependency of Object.keys({ ...dependencies, ...optionalDependencies })) {
    if (dependency.startsWith("@proofmill/")) continue;
    const real = locate(from, dependency);
    if (real === null || dependency.endsWith("-musl")) {
      if (dependency in optionalDependencies) continue; // of another platform
      throw new Error(`${dependency}, needed by ${from}, is not installed`);
    }
    const nested = join(modules, ...path.flatMap((each) => [each, "node_modules"]));
    const places = [join(modules, dependency), join(nested, dependency)];
    const place = places.find((each) => !existsSync(each) || sameVersion(each, real));
    if (!place) throw new Error(`two versions of ${dependency} meet in ${nested}`);
    if (existsSync(place)) continue;
    copy(real, place);
    copyDependencies(real, place === places[0] ? [dependency] : [...path, dependency]);
  }
}

/** Where Node would find a dependency of the package at `from`; null where nowhere. */
function locate(from, dependency) {
  for (let folder = from; ; folder = dirname(folder)) {
    const candidate = join(folder, "node_modules", dependency);
    if (existsSync(candidate)) return realpathSync(candidate);
    if (folder === dirname(folder)) return null;
  }
}

function sameVersion(a, b) {
  return json(join(a, "package.json")).version === json(join(b, "package.json")).version;
}

function copy(from, to) {
  cpSync(from, to, {
    recursive: true,
    dereference: true,
    filter: (source) =>
      !UNUSED.test(source.slice(from.length)) &&
      !source.slice(from.length).includes("/node_modules"),
  });
}

function copyNode() {
  const node = join(bundle, "bin", "node");
  mkdirSync(dirname(node));
  cpSync(process.execPath, node);
  chmodSync(node, 0o755);
  strip(node);
}

/** Symbols for debuggers are a third of a program's size. */
function strip(file) {
  try {
    execFileSync("strip", ["--strip-unneeded", file], { stdio: "ignore" });
  } catch {
    // larger, and as good
  }
}

function launcher() {
  return `#!/bin/sh
# Runs the Node beside it, whatever else is installed.
here=$(CDPATH= cd -- "$(dirname -- "$(readlink -f -- "$0")")" && pwd) || exit 1
if [ "$1" = serve ]; then
${Object.entries(MALLOC)
  .map(([name, value]) => `  export ${name}="\${${name}:-${value}}"`)
  .join("\n")}
fi
exec "$here/bin/node" "$here/packages/server/bin/proofmill.mjs" "$@"
`;
}

function json(file) {
  return JSON.parse(readFileSync(file, "utf8"));
}
