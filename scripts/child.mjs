import { spawn } from "node:child_process";
import { constants } from "node:os";
import { createInterface } from "node:readline";

const PASSED_ON = ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2"];

/**
 * Runs a program to its end and hands signals on to it meanwhile: whoever asks this process to stop
 * means the program, and this process ends with it.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {import("node:child_process").SpawnOptions & {onLine?: (line: string) => void}} options
 *   `onLine` gets what it prints on stdout and stderr, where these are pipes
 * @returns {Promise<number>} its exit code; 128 + the signal's number when a signal ended it
 */
export function runToEnd(command, args, { onLine, ...options }) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, options);
    if (onLine) {
      for (const output of [child.stdout, child.stderr]) {
        if (output) createInterface({ input: output }).on("line", onLine);
      }
    }
    const handlers = PASSED_ON.map((signal) => ({ signal, pass: () => child.kill(signal) }));
    for (const { signal, pass } of handlers) process.on(signal, pass);
    const done = (settle) => {
      for (const { signal, pass } of handlers) process.off(signal, pass);
      settle();
    };
    child.on("error", (error) => done(() => reject(error)));
    // Its outputs have come to their end too.
    child.on("close", (code, signal) =>
      done(() => resolve(code ?? 128 + (signal ? constants.signals[signal] : 0))),
    );
  });
}
