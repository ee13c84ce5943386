// Loaded into a node before its own program: answers whoever started it with what the node holds, after
// garbage has been collected.
import { setImmediate as nextTurn } from "node:timers/promises";

process.on("message", async () => {
  globalThis.gc();
  await nextTurn(); // what waited for that to be let go is gone too
  globalThis.gc();
  const resources = process.getActiveResourcesInfo();
  process.send({
    heap_bytes: process.memoryUsage().heapUsed,
    handles: resources.filter((name) => name !== "Immediate").length,
    sockets: resources.filter((name) => name === "TCPSocketWrap").length,
  });
});
process.on("disconnect", () => process.kill(process.pid, "SIGKILL")); // nobody is left to end it
process.channel.unref(); // so that it keeps no node from ending
