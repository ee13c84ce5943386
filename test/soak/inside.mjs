// Loaded into a node before its own program: answers whoever started it with what the node holds, after
// garbage has been collected.
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setImmediate as nextTurn } from "node:timers/promises";

const delay = monitorEventLoopDelay({ resolution: 5 });
delay.enable();

process.on("message", async () => {
  const standstill_ms = delay.max / 1e6;
  globalThis.gc();
  await nextTurn(); // what waited for that to be let go is gone too
  globalThis.gc();
  const resources = process.getActiveResourcesInfo();
  delay.reset(); // what has been measured now takes its time too
  process.send({
    standstill_ms,
    heap_bytes: process.memoryUsage().heapUsed,
    handles: resources.filter((name) => name !== "Immediate").length,
    sockets: resources.filter((name) => name === "TCPSocketWrap").length,
  });
});
process.on("disconnect", () => process.kill(process.pid, "SIGKILL")); // nobody is left to end it
process.channel.unref(); // so that it keeps no node from ending
