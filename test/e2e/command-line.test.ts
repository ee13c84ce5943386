import { cpSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { startFakeNode } from "../fake-node.ts";
import { runCli, temporaryFolder } from "../helpers.ts";

const folder = temporaryFolder();
const empty = join(folder, "empty");
const short = join(folder, "short");
mkdirSync(empty);
mkdirSync(short);
writeFileSync(join(short, "config.json"), '{"max_position_embeddings": 128}');

test.each([
  [
    ["serve", "--port", "99999"],
    ["'99999'", "0 to 65535"],
  ],
  [
    ["serve", "--port", "x\ny"],
    ["'x y'", "0 to 65535"],
  ],
  [
    ["serve", "--poc-batch-size", "2000"],
    ["2000", "1 to 1024"],
  ],
  [
    ["serve", "--poc-seq-len", "5000"],
    ["5000", "4096"],
  ],
  [
    ["serve", short],
    ["256", "128"],
  ],
  [
    ["serve", "--dtype", "int8"],
    ["'int8'", "auto, bfloat16, float32"],
  ],
  [
    ["serve", "--prot", "1"],
    ["'--prot'", "--port"],
  ],
  [
    ["serve", join(folder, "nothing")],
    [join(folder, "nothing"), "does not exist"],
  ],
  [
    ["serve", empty],
    [empty, "has no config.json"],
  ],
  [["mine"], ["unknown command 'mine'", "proofmill --help lists the commands"]],
  [
    ["--port", "1", "serve"],
    ["unknown option '--port'", "expected a command, and its options after it"],
  ],
])("%j: one line on stderr, exit 2", async (args, parts) => {
  const { code, stdout, stderr } = await runCli(args);
  expect([code, stdout]).toEqual([2, ""]);
  expect(stderr).toMatch(/^proofmill: .+\n$/);
  for (const part of parts) expect(stderr).toContain(part);
});

test("a variable is refused in the same way", async () => {
  const { code, stderr } = await runCli(["serve"], { PROOFMILL_POC_BATCH_SIZE: "many" });
  expect(code).toBe(2);
  expect(stderr).toMatch(/^proofmill: .*PROOFMILL_POC_BATCH_SIZE.*'many'.*1 to 1024.*\n$/);
});

test("version and help", async () => {
  expect(await runCli(["--version"])).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/),
  });
  const { code, stdout } = await runCli(["serve", "--help"]);
  expect(code).toBe(0);
  for (const part of ["--enable-poc", "1 to 1024", "default: 8000", "PROOFMILL_DATA_DIR"]) {
    expect(stdout.replaceAll(/\s+/g, " ")).toContain(part);
  }
});

test("a model that cannot be loaded: one line with the loader's words, exit 1", async () => {
  const model = join(folder, "unknown");
  cpSync(short, model, { recursive: true });
  const config = { architectures: ["MambaForCausalLM"], max_position_embeddings: 512 };
  writeFileSync(join(model, "config.json"), JSON.stringify(config));
  const { code, stderr } = await runCli(["serve", model, "--port", "0"]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/^proofmill: the model could not be loaded: .*MambaForCausalLM.*\n$/);
});

test.each([
  [["bench", "prefill", "--device", "cuda:999"], "device cuda:999 cannot be used: "],
  [["selftest", "--device", "cuda:999"], "device cuda:999 cannot be used: "],
  [
    ["bench", "prefill", "--shape", "qwen3-tiny", "--seq-len", "5000"],
    "seq_len 5000 is more than the context of qwen3-tiny, 4096",
  ],
])("%j: one line on stderr, exit 1", async (args, reason) => {
  const { code, stdout, stderr } = await runCli(args);
  expect([code, stdout]).toEqual([1, ""]);
  expect(stderr).toMatch(/^proofmill: .+\n$/);
  expect(stderr).toContain(`proofmill: ${reason}`);
});

test("a backup is its user's alone, as what it holds was", async () => {
  const dataDir = temporaryFolder();
  await (await startFakeNode({ dataDir })).close();
  const file = join(temporaryFolder(), "backup.db");
  const args = ["backup", file, "--data-dir", dataDir];
  expect((await runCli(args)).stdout).toMatch(/backup\.db, \d+ bytes\n$/);
  expect((statSync(file).mode & 0o777).toString(8)).toBe("600");
});
