/** SIGTERM, SIGINT, a terminal that closes: the first asks for an orderly end, a later one insists. */
import { constants } from "node:os";
import { isatty } from "node:tty";

/**
 * A terminal signals the whole group, and npm and the start script hand on what they get: repeats
 * within a second of the first are that one. Milliseconds.
 */
const REPEAT_MS = 1000;

/**
 * Calls `stop` at the first signal; one that comes more than a second later ends the process.
 *
 * @param reread reads again what stands in files
 */
export function onStopSignal(stop: () => void, reread = () => {}): void {
  let first: number | null = null;
  const receive = (signal: NodeJS.Signals) => {
    const now = performance.now();
    if (first === null) {
      first = now;
      stop();
    } else if (now - first > REPEAT_MS) {
      process.exit(128 + constants.signals[signal]);
    }
  };
  process.on("SIGTERM", receive);
  process.on("SIGINT", receive);
  // SIGHUP means that the terminal is gone, where there was one. Without one, under nohup or a
  // supervisor, it asks to read files again that change.
  const hasTerminal = [0, 1, 2].some((fd) => isatty(fd));
  process.on("SIGHUP", hasTerminal ? receive : reread);
  ignoreUserSignals();
}

/**
 * Programs that rotate logs send these. By default the first has Node open a debugger's port, through
 * which any user of this machine could run code here, and the second ends the process.
 */
export function ignoreUserSignals(): void {
  if (process.platform === "win32") return; // it has none
  for (const signal of ["SIGUSR1", "SIGUSR2"]) process.on(signal, () => {});
}
