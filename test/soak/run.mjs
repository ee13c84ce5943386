// `npm run soak`: plays every scenario, or those that are named, two at a time, and ends with a
// table of their figures. The exit code is 1 when a bound did not hold.
import { readdirSync } from "node:fs";
import { parseArgs } from "node:util";
import { linesOf, rowsOf } from "./table.mjs";

/**
 * What a file in `scenarios/` exports.
 *
 * @typedef {object} Scenario
 * @property {string} about what it does, in a few words
 * @property {(options: { share: number }) => Promise<Record<string, number>>} play does so much of it,
 *   1 being the long form, and gives its figures; throws what it cannot go on after
 * @property {Record<string, { least?: number, most?: number }>} bounds of figures; one that is given
 *   none is only shown
 */

const { values, positionals, tokens } = parseArgs({
  options: { share: { type: "string", default: "1" } },
  allowPositionals: true,
  strict: false, // whatever is wrong is refused below
  tokens: true,
});
const share = Number(values.share);
const all = readdirSync(new URL("./scenarios/", import.meta.url)).map((file) =>
  file.replace(/\.mjs$/, ""),
);
const isKnown = ({ kind, name, value }) =>
  kind === "positional" ? all.includes(value) : name === "share" && value !== undefined;
if (!tokens.every(isKnown) || !(share > 0)) {
  const given = process.argv.slice(2).join(" ");
  console.error(`expected [--share NUMBER] and scenarios of ${all.join(", ")}; got ${given}`);
  process.exit(2);
}

const waiting = positionals.length > 0 ? [...positionals] : [...all];
/** By scenario: two of them end in any order. */
const rows = new Map(waiting.map((name) => [name, []]));

async function play(name) {
  /** @type {Scenario} */
  const scenario = await import(`./scenarios/${name}.mjs`);
  const begin = performance.now();
  console.log(`${name}: ${scenario.about}`);
  let figures = {};
  let fault = null;
  try {
    figures = await scenario.play({ share });
  } catch (error) {
    fault = error;
    console.error(error);
  }
  const seconds = Math.round((performance.now() - begin) / 1000);
  console.log(`${name}: ${seconds} s ${JSON.stringify(figures)}`);
  rows.set(name, rowsOf({ name, bounds: scenario.bounds, figures, fault }));
}

/** Plays what is next until nothing is left. */
async function lane() {
  for (let name = waiting.shift(); name; name = waiting.shift()) await play(name);
}
await Promise.all([lane(), lane()]); // each waits much, for processes that start and end
const table = [...rows.values()].flat();
for (const line of linesOf(table)) console.log(line);
if (table.some(({ holds }) => !holds)) process.exitCode = 1;
