// Fills .gpu/ with all that a run on a GPU machine needs, without Node, compiler or network there:
//
//   node test/gpu/prepare.mjs
//
// the bundle, gpu-day.sh with its probes, and for every patch here (and all of them together) the
// CUDA library that it makes. It needs nvcc.
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

const MAX_BYTES = 60 * 2 ** 20;
const here = fileURLToPath(new URL(".", import.meta.url));
const root = join(here, "../..");
const out = join(root, ".gpu");
const sources = join(root, "packages/native");

rmSync(out, { recursive: true, force: true });
mkdirSync(join(out, "variants"), { recursive: true });
run(process.execPath, [join(root, "scripts/bundle.mjs"), "--out-dir", out]);
for (const part of ["gpu-day.sh", "probe.mjs", "probe"]) {
  cpSync(join(here, part), join(out, part), { recursive: true });
}
const cuda = (...files) => files.map((file) => join(sources, "src/device/cuda", file));
const shared = cuda("random.cu", "elementwise.cu", "cublaslt.cc", "device.cc", "gemm.cc");
buildProbe("hopper_probe", cuda("hopper_gemm.cu"));
buildProbe("hopper_attention_probe", cuda("hopper_attention.cu", "attention.cu"));
buildProbe("paged_probe", cuda("paged.cu", "paged_attention.cu", "paged_attention_f32.cu"));

const patches = readdirSync(here).filter((file) => file.endsWith(".patch"));
for (const patch of patches) buildVariant([patch]);
if (patches.length > 1) buildVariant(patches);

const bytes = readdirSync(out, { recursive: true })
  .map((file) => statSync(join(out, file)))
  .reduce((sum, stat) => sum + (stat.isFile() ? stat.size : 0), 0);
const mib = (bytes / 2 ** 20).toFixed(1);
if (bytes > MAX_BYTES) throw new Error(`.gpu/ has ${mib} MiB, more than ${MAX_BYTES / 2 ** 20}`);
console.error(`.gpu/ is ready: ${mib} MiB`);

function run(command, args, cwd = root) {
  execFileSync(command, args, { cwd, stdio: ["ignore", "ignore", "inherit"] });
}

/** A program that tries out kernels alone. */
function buildProbe(name, files) {
  const flags = ["-std=c++20", "-O3", "-gencode=arch=compute_90a,code=sm_90a"];
  const include = ["-I", join(sources, "src"), "-ldl"];
  const program = join(out, name);
  run("nvcc", [...flags, ...include, join(here, `${name}.cu`), ...files, ...shared, "-o", program]);
}

/** The CUDA library of the sources with these patches, for a Hopper alone. */
function buildVariant(set) {
  const work = mkdtempSync(join(tmpdir(), "proofmill-variant-"));
  try {
    const copy = join(work, "packages/native");
    for (const part of ["CMakeLists.txt", "src", "test"]) {
      cpSync(join(sources, part), join(copy, part), { recursive: true });
    }
    for (const patch of set) run("git", ["apply", join(here, patch)], work);
    const build = join(copy, "build");
    run("cmake", ["-S", copy, "-B", build, "-DCMAKE_CUDA_ARCHITECTURES=90-real"]);
    run("cmake", ["--build", build, "--target", "proofmill_cuda", "-j2"]);
    const name = set.map((patch) => basename(patch, ".patch")).join("+");
    const library = join(out, "variants", `${name}.so`);
    cpSync(join(build, "libproofmill_cuda.so"), library);
    run("strip", ["--strip-unneeded", library]);
    checkInterface(library);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** The addon opens libraries of its own build's headers only; without a GPU it says so next. */
function checkInterface(library) {
  const open = `
    const { addon } = await import("@proofmill/native/binding");
    try { addon.cudaDeviceCount(process.argv[1]); } catch ({ message }) { console.log(message); }`;
  const args = ["--input-type=module", "--eval", open, library];
  const said = execFileSync(process.execPath, args, { cwd: here, encoding: "utf8" });
  if (/another build|cannot be opened/.test(said)) throw new Error(`${library}: ${said}`);
}
