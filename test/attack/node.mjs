// The node under attack: the real server in a process of its own, which watches its own event loop.
// It reports where it listens, and answers "watch" by starting anew and "watched" with the longest
// time, in milliseconds, for which its event loop stood still meanwhile.
import { monitorEventLoopDelay } from "node:perf_hooks";
import { parseConfig, startNode } from "@proofmill/server";
import { call, ROUND, startPacedNode } from "./paced-node.mjs";

/** Milliseconds between two looks at the event loop. */
const RESOLUTION = 5;

/** @type {import("./scenario.mjs").NodeSetup & { folder: string }} */
const setup = JSON.parse(process.argv[2]);
const { folder, finds = 0, runner = "tiny", state = "GENERATING", args = [] } = setup;
const flags = [
  "--enable-poc",
  "--port",
  "0",
  "--log-level",
  "error",
  "--data-dir",
  folder,
  ...args,
];

let node;
if (runner === "tiny") {
  node = await startNode(parseConfig([...flags, "--threads", "1"]));
  await node.loaded;
} else {
  node = await startPacedNode(flags, runner);
}
if (finds === 0) await call(node.url, "init", ROUND);
if (state === "GENERATING") await call(node.url, "phase/generate");

const delays = monitorEventLoopDelay({ resolution: RESOLUTION });
delays.enable();
process.on("message", (message) => {
  if (message === "watch") delays.reset();
  if (message === "watched") process.send(Math.max(0, delays.max / 1e6 - RESOLUTION));
});
process.on("disconnect", async () => {
  await node.close();
  process.exit(0);
});
process.send(node.url);
