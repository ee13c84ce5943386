// One hash over what a search and token sessions compute: two cards with the same tag must have the same.
import { createHash } from "node:crypto";
import { BIG, bitsOf, job, open, SMALL, say, seedsOf } from "./common.mjs";
import { ask, question, textOf } from "./sessions.mjs";

const QUESTIONS = 8;
const MOST_TOKENS = 24;
const PAGES = 64;
/** Tokens of all nonces of a length, at most. */
const MOST_POSITIONS = 40_000;

/** @param {number} nonces of each length, fewer of long ones */
export async function digest(nonces = 64, lengths = [1, 17, 64, 256, 2112]) {
  const whole = createHash("sha256");
  const tags = new Set();
  for (const model of [SMALL, BIG]) {
    const runner = await open({ model, dtype: "bfloat16", pages: PAGES });
    const { arithmetic, device, num_hidden_layers: layers, vocab_size } = runner.info;
    tags.add(`${arithmetic} on ${device}`);
    const add = (what, bytes) => {
      const own = createHash("sha256").update(bytes).digest();
      whole.update(own);
      say(`${model}, ${what}: ${own.toString("hex", 0, 8)}`);
    };
    for (const seq_len of lengths) {
      const seeds = seedsOf(Math.min(nonces, Math.ceil(MOST_POSITIONS / seq_len)));
      for (const kind of ["distance", "artifact"]) {
        const bits = bitsOf(await runner.run(job({ id: 0, seq_len, seeds, kind, layers })));
        add(`${seeds.length} of ${kind} at seq_len ${seq_len}`, bits);
      }
    }
    const sizes = { vocab_size, most_tokens: MOST_TOKENS };
    const answers = await Promise.all(
      Array.from({ length: QUESTIONS }, (_, i) => ask(runner, question(i, sizes))),
    );
    add(`${QUESTIONS} answers`, answers.map(({ tokens }) => textOf(tokens)).join("\n\n"));
    await runner.close();
  }
  console.log(`DIGEST ${whole.digest("hex").slice(0, 32)} of ${[...tags].join(" and ")}`);
}
