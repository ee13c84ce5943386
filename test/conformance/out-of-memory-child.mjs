// Loads a golden model, takes nearly all further memory from itself, and prints what three jobs come
// to: a small one, one whose results cannot be held, and the small one again.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { loadModel } from "@proofmill/native";

const [directory] = process.argv.slice(2);
const runner = await loadModel({ directory, device: "cpu", threads: 2 });
const run = async (batch) => {
  const input_seeds = new Uint32Array(batch);
  try {
    const job = { id: 0, seq_len: 1, input_seeds, output: { kind: "logits" } };
    return String((await runner.run(job)).completed);
  } catch (error) {
    return error.message;
  }
};
const outcomes = [await run(3)];
const kib = Number(/VmSize:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1]);
execFileSync("prlimit", ["--pid", process.pid, `--as=${(kib + 512 * 1024) * 1024}`]);
outcomes.push(await run(2 ** 20), await run(3));
console.log(JSON.stringify(outcomes));
await runner.close();
