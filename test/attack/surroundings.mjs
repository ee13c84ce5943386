// What is around a node: disks of its own, somebody who receives its callbacks, somebody who watches it.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, openSync, rmSync, statfsSync, writeSync } from "node:fs";
import { createServer, get } from "node:http";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** A file system in memory, of so many bytes. */
export async function mountDisk(path, bytes) {
  mkdirSync(path);
  const child = spawn("mount", ["-t", "tmpfs", "-o", `size=${bytes}`, "tmpfs", path], {
    stdio: "inherit",
  });
  const [code] = await once(child, "exit");
  if (code !== 0) throw new Error(`cannot mount ${path}`);
  return {
    path,
    fill() {
      const file = openSync(join(path, "filler"), "a");
      const piece = Buffer.alloc(64 * 1024);
      try {
        for (;;) writeSync(file, piece);
      } catch (error) {
        if (error.code !== "ENOSPC") throw error;
      } finally {
        closeSync(file);
      }
    },
    free: () => rmSync(join(path, "filler")),
    left: () => statfsSync(path).bavail,
  };
}

/** Counts how often each find of each round has come. */
export async function startReceiver() {
  const times = new Map();
  const receiver = { times, limit: Number.POSITIVE_INFINITY, isAway: false, refused: 0, url: "" };
  const server = createServer(async (request, response) => {
    let text = "";
    for await (const piece of request.setEncoding("utf8")) text += piece;
    if (receiver.isAway) return response.writeHead(503).end();
    if (text.length > receiver.limit) {
      receiver.refused++;
      return response.writeHead(413).end();
    }
    const { round_id, nonces } = JSON.parse(text);
    const ofRound = times.get(round_id) ?? new Map();
    times.set(round_id, ofRound);
    for (const nonce of nonces) ofRound.set(nonce, (ofRound.get(nonce) ?? 0) + 1);
    response.end("{}");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  receiver.url = `http://127.0.0.1:${server.address().port}`;
  receiver.closeIdle = () => server.closeIdleConnections();
  receiver.close = () => {
    server.closeAllConnections();
    server.close();
  };
  return receiver;
}

/**
 * Asks /health over and over, on a connection of its own each time.
 *
 * @param {string} url
 * @param {readonly number[]} right statuses; every other answer is a fault, and so is none
 */
export function watchHealth(url, right) {
  const none = () => ({ worst_ms: 0, faults: [] });
  let seen = none();
  let isOver = false;
  const asking = (async () => {
    while (!isOver) {
      const begin = performance.now();
      const fault = await health(url, right);
      seen.worst_ms = Math.max(seen.worst_ms, performance.now() - begin);
      if (fault) seen.faults.push(fault);
      await sleep(20);
    }
  })();
  return {
    /** What was seen since the beginning, or since it was taken last. */
    take() {
      const taken = seen;
      seen = none();
      return taken;
    },
    async end() {
      isOver = true;
      await asking;
      return seen;
    },
  };
}

/** @returns {Promise<string | null>} what was wrong */
function health(url, right) {
  return new Promise((resolve) => {
    const request = get(`${url}/health`, { agent: false, timeout: 30_000 }, (response) => {
      const { statusCode } = response.resume();
      response.on("end", () => resolve(right.includes(statusCode) ? null : `status ${statusCode}`));
      response.on("error", ({ message }) => resolve(message));
    });
    request.on("timeout", () => request.destroy(new Error("no answer in 30 s")));
    request.on("error", ({ message }) => resolve(message));
  });
}
