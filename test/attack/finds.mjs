// Leaves a stopped round with at least so many finds in a data folder, without computing them:
//   finds.mjs <folder> <count>
import { setTimeout as sleep } from "node:timers/promises";
import { call, ROUND, startPacedNode } from "./paced-node.mjs";

const [folder, count] = process.argv.slice(2);
const args = ["--enable-poc", "--port", "0", "--log-level", "error", "--data-dir", folder];
const node = await startPacedNode(args, { perSecond: 1e6 });
await call(node.url, "init/generate", ROUND);
while ((await call(node.url, "status?limit=1")).total_valid < Number(count)) await sleep(5);
await call(node.url, "stop");
await node.close();
