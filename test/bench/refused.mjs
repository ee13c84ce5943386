// What a request without a right key costs: CPU time of the node for each, for a wrong key and for none,
// beside a right one; among 256 keys. Prints JSON.

import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const BIN = fileURLToPath(new URL("../../packages/server/bin/proofmill.mjs", import.meta.url));
const REQUESTS = 5000;
const CONNECTIONS = 20;
/** Of /proc, a second. */
const TICKS = 100;

const folder = mkdtempSync(join(tmpdir(), "proofmill-refused-"));
const keys = Array.from(
  { length: 256 },
  () => `proofmill_${randomBytes(32).toString("base64url")}`,
);
const digest = (key) => createHash("sha256").update(key).digest("hex");
const file = join(folder, "keys");
writeFileSync(file, keys.map((key, i) => `key-${i} read sha256:${digest(key)}`).join("\n"));
const node = spawn(process.execPath, [
  ...[BIN, "serve", "--port", "0", "--api-key-file", file, "--data-dir", join(folder, "data")],
]);
try {
  const port = await new Promise((resolve, reject) => {
    node.once("exit", () => reject(new Error("the node has ended")));
    createInterface({ input: node.stdout }).on("line", (line) => {
      if (line.includes("model loaded")) resolve(listening);
      const [, found] = /listening on [^"]*:(\d+)/.exec(line) ?? [];
      if (found) listening = Number(found);
    });
    let listening = 0;
  });
  const wrong = `proofmill_${randomBytes(32).toString("base64url")}`;
  const kinds = { none: "", wrong, first: keys[0], last: keys[255] };
  const microseconds = { none: [], wrong: [], first: [], last: [] };
  for (let round = 0; round < 4; round++) {
    for (const [kind, key] of Object.entries(kinds)) {
      const before = ticks(node.pid);
      await ask(port, key);
      const spent = ((ticks(node.pid) - before) / TICKS / REQUESTS) * 1e6;
      if (round > 0) microseconds[kind].push(Math.round(spent)); // the first warms up
    }
  }
  console.log(JSON.stringify({ requests: REQUESTS, cpu_microseconds_each: microseconds }));
} finally {
  node.kill();
  rmSync(folder, { recursive: true, force: true });
}

/** CPU time of all threads of a process. */
function ticks(pid) {
  const [, rest] = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ");
  const fields = rest.split(" ");
  return Number(fields[11]) + Number(fields[12]);
}

async function ask(port, key) {
  const authorization = key === "" ? "" : `Authorization: Bearer ${key}\r\n`;
  const request = `GET /version HTTP/1.1\r\nHost: localhost\r\n${authorization}\r\n`;
  const each = REQUESTS / CONNECTIONS;
  await Promise.all(
    Array.from(
      { length: CONNECTIONS },
      () =>
        new Promise((resolve, reject) => {
          const socket = connect(port, "127.0.0.1");
          let answers = 0;
          socket.on("error", reject).on("data", (chunk) => {
            answers += chunk.toString("latin1").split("HTTP/1.1 ").length - 1;
            if (answers < each) return;
            socket.destroy();
            resolve();
          });
          socket.write(request.repeat(each));
        }),
    ),
  );
}
