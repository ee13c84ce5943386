// The other process of subscribers.mjs: many subscribers of one node, each of which checks its list.
import { setMaxListeners } from "node:events";
import { createPocClient } from "@proofmill/client";

const [url, count] = [process.argv[2], Number(process.argv[3])];
const now = () => Number(process.hrtime.bigint()) / 1e6;

/** When each event came: index of its first nonce, how many, milliseconds. Flat, for the collector. */
const events = new Float64Array(3 * 1_000_000);
let noted = 0;
process.on("message", () => end.abort());

const end = new AbortController();
setMaxListeners(0, end.signal);
let open = 0;

const nothing = () => ({ length: 0, hash: 2166136261, faults: 0 });

async function subscribe() {
  const list = nothing();
  let isFirst = true;
  let isMeasured = false;
  for await (const event of createPocClient({ url }).watchValidNonces({ signal: end.signal })) {
    if (event.type === "round") {
      if (++open === count) process.send("open");
      Object.assign(list, nothing());
      if (isFirst) isFirst = false;
      else isMeasured = true;
      continue;
    }
    const at = now();
    if (event.from !== list.length) list.faults++;
    for (const nonce of event.nonces) list.hash = Math.imul(list.hash ^ nonce, 16777619);
    list.length += event.nonces.length;
    if (!isMeasured) continue;
    events[noted++] = event.from;
    events[noted++] = event.nonces.length;
    events[noted++] = at;
  }
  return list;
}

const lists = await Promise.all(Array.from({ length: count }, subscribe));
const { user, system } = process.cpuUsage();
process.send(
  { lists, events: Array.from(events.subarray(0, noted)), cpuSeconds: (user + system) / 1e6 },
  () => process.disconnect(),
);
