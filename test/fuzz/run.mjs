// `npm run fuzz`: drawn requests against a node and drawn files against the loader, many of them.
// The same seed draws the same; what fails says its seed.
import { parseArgs } from "node:util";
import { fuzzKeys } from "./against-keys.mjs";
import { fuzzLoader } from "./against-loader.mjs";
import { fuzzNode } from "./against-node.mjs";
import { fuzzTokenizers } from "./against-tokenizers.mjs";
import { fuzzWords } from "./against-words.mjs";

const KINDS = {
  requests: { count: 100_000, fuzz: fuzzNode },
  keys: { count: 20_000, fuzz: fuzzKeys },
  models: { count: 20_000, fuzz: fuzzLoader },
  tokenizers: { count: 20_000, fuzz: fuzzTokenizers },
  words: { count: 10_000, fuzz: fuzzWords },
};

const { values, positionals, tokens } = parseArgs({
  options: { seed: { type: "string" }, count: { type: "string" } },
  allowPositionals: true,
  strict: false, // whatever is wrong is refused below
  tokens: true,
});
const kinds = positionals.length > 0 ? positionals : Object.keys(KINDS);
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 30));
const isKnown = ({ kind, name, value }) =>
  kind === "positional"
    ? Object.hasOwn(KINDS, value)
    : ["seed", "count"].includes(name) && value !== undefined;
if (!tokens.every(isKnown) || !Number.isSafeInteger(seed) || !(Number(values.count ?? 1) >= 1)) {
  console.error(
    `expected [${Object.keys(KINDS).join("] [")}] [--seed INTEGER] [--count NUMBER], got ${process.argv.slice(2).join(" ")}`,
  );
  process.exit(2);
}
for (const kind of kinds) {
  const { count: standard, fuzz } = KINDS[kind];
  const count = Number(values.count ?? standard);
  console.log(`${kind}: ${count} drawn from seed ${seed}`);
  const begin = performance.now();
  const { faults, ...seen } = await fuzz({ seed, count });
  console.log(
    `${kind}: ${Math.round((performance.now() - begin) / 1000)} s ${JSON.stringify(seen)}`,
  );
  for (const fault of faults) console.error(`FAULT ${fault}`);
  if (faults.length > 0) {
    console.error(`again by: npm run fuzz -- ${kind} --seed ${seed} --count ${count}`);
    process.exitCode = 1;
  }
}
