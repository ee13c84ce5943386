// Runs jobs on the emulated CUDA in a process of its own, whose environment its parent chose, and
// prints what came of them: distances as bits, or an error. The last ones of a precision are asked
// for at once, each longer than the one before, so that memory grows with a pass under way.
import { loadModel } from "@proofmill/native";

const [directory, cudaLibrary] = process.argv.slice(2);
const seeds = Uint32Array.of(1, 2, 3);
const outcomes = [];
for (const dtype of ["bfloat16", "float32"]) {
  try {
    const runner = await loadModel({ directory, dtype, device: "cuda", cudaLibrary });
    for (const seq_len of [1, 17]) outcomes.push(await distances(runner, seq_len));
    const grown = [33, 50, 70].map((seq_len) => distances(runner, seq_len));
    outcomes.push(...(await Promise.all(grown)));
    await runner.close();
  } catch (error) {
    outcomes.push({ message: error.message });
  }
}
console.log(JSON.stringify(outcomes));

async function distances(runner, seq_len) {
  const output = { kind: "distance", permutation_seeds: seeds, target_seed: 4 };
  try {
    const { values } = await runner.run({ id: 0, seq_len, input_seeds: seeds, output });
    return [...new Uint32Array(values.buffer)];
  } catch ({ message, code }) {
    return { message, code };
  }
}
