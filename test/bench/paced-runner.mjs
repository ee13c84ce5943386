// A runner that computes nothing and takes its time, for benches and attacks.
import { setTimeout as sleep } from "node:timers/promises";

/**
 * @param {object} options
 * @param {number} options.perSecond nonces per second
 * @param {object} [options.info] what differs in ModelInfo
 * @param {(seed: number) => number} [options.distance] of a nonce with this input seed; 0.25 by default
 * @param {(nonces: number) => void} [options.onAnswer] told with each answer how many nonces it has
 */
export function pacedRunner({ perSecond, info, distance = () => 0.25, onAnswer = () => {} }) {
  let free = 0;
  return {
    pid: process.pid,
    ended: new Promise(() => {}),
    memory: null,
    info: {
      ...{ arithmetic: "paced-1", architecture: "PacedForCausalLM", device: "none" },
      ...{ dtype: "float32", hidden_size: 8, vocab_size: 64, num_hidden_layers: 2 },
      ...{ max_position_embeddings: 1024, max_seq_len: 1024, preferred_tokens: 4 * 256, ...info },
    },
    async run({ input_seeds }) {
      free = Math.max(free, performance.now()) + (input_seeds.length * 1000) / perSecond;
      if (free > performance.now()) await sleep(free - performance.now());
      onAnswer(input_seeds.length);
      return { completed: input_seeds.length, values: Float32Array.from(input_seeds, distance) };
    },
    cancel() {},
    async close() {},
  };
}
