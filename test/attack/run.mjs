// `npm run attack`: plays every scenario, or those that are named, and prints what each did to the node
// as a line of JSON. The exit code is 1 when a bound did not hold.
import { readdirSync } from "node:fs";
import { playFaults } from "./faults.mjs";
import { play } from "./scenario.mjs";

/** Longer than the minute in which what is too old is given up. */
const FAULT_SECONDS = 65;

const folder = new URL("./scenarios/", import.meta.url);
const scenarios = readdirSync(folder).map((file) => file.replace(/\.mjs$/, ""));
const all = [...scenarios, "faults"];
const named = process.argv.slice(2);
for (const name of named) {
  if (!all.includes(name)) {
    console.error(`no scenario ${name}; there are ${all.join(", ")}`);
    process.exit(2);
  }
}
for (const name of named.length > 0 ? named : all) {
  const { broken, ...figures } =
    name === "faults" ? await playFaults(FAULT_SECONDS) : await play(name);
  console.log(JSON.stringify({ ...figures, broken }, null, process.stdout.isTTY ? 2 : 0));
  if (broken.length > 0) process.exitCode = 1;
}
