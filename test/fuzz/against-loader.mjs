// Drawn model files against the loader: nothing may end its process, take long, or take much memory.
import { fork } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const CHILD = fileURLToPath(new URL("load-drawn.mjs", import.meta.url));
/** The golden models have less than a megabyte; what a load takes besides is threads and buffers. */
const MOST_BYTES = 300 * 2 ** 20;
const MOST_MS = 10_000;
/** What a language says of a mistake of ours, not of a file. */
const OURS =
  /cannot read|is not a function|is not iterable|undefined|\[object|NaN|invalid array length|BigInt/i;

/**
 * @param {{ seed: number, count: number, env?: NodeJS.ProcessEnv, onProgress?: (done: number) => void }} options
 *   `count` models
 * @returns what was seen; `faults` are what must not be, in words
 */
export async function fuzzLoader({ seed, count, env = {}, onProgress = () => {} }) {
  const folder = mkdtempSync(join(tmpdir(), "proofmill-fuzz-"));
  const faults = [];
  const fault = (text) => {
    if (faults.length < 20) faults.push(text);
  };
  let next = 0;
  let loaded = 0;
  let peak = 0;
  try {
    while (next < count) {
      await new Promise((resolve) => {
        const child = fork(CHILD, [folder], {
          execArgv: [], // it runs what is built, whatever this process runs
          env: { ...process.env, ...env },
          stdio: ["ignore", "ignore", "inherit", "ipc"],
        });
        let atRest = 0;
        let now = null;
        child.on("message", (said) => {
          if (said.ready) {
            atRest = said.ready;
            child.send({ seed, from: next, to: count });
          } else if (said.done) {
            child.disconnect();
          } else if (said.begins !== undefined) {
            now = said;
          } else {
            now = null;
            next = said.ended + 1;
            onProgress(next);
            const which = `model ${said.ended} (${said.change})`;
            if (said.outcome === "loaded") loaded++;
            if (/outside\.safetensors: .*header/.test(said.outcome)) {
              fault(`${which} was read outside its folder: ${said.outcome}`);
            }
            if (OURS.test(said.outcome)) fault(`${which}: ${said.outcome}`);
            if (said.milliseconds > MOST_MS)
              fault(`${which} took ${Math.round(said.milliseconds)} ms`);
            const bytes = said.resident_bytes - atRest;
            peak = Math.max(peak, bytes);
            if (bytes > MOST_BYTES) fault(`${which} left ${Math.round(bytes / 2 ** 20)} MB`);
          }
        });
        child.on("exit", (code, signal) => {
          if (now) {
            fault(`model ${now.begins} (${now.change}) ended the process: ${signal ?? code}`);
            next = now.begins + 1;
          } else if (code !== 0) {
            fault(`the process ended between two models: ${signal ?? code}`);
            next = count;
          }
          resolve();
        });
      });
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return {
    models: count,
    loaded,
    refused: count - loaded,
    peak_mb: Math.round(peak / 2 ** 20),
    faults,
  };
}
