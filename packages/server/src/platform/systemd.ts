/** Tells systemd how the node is, where it asks for that (sd_notify(3)), through `systemd-notify`. */
import { spawn } from "node:child_process";

/** A program that has not ended after so long is killed, milliseconds. */
const PATIENCE_MS = 5000;

export interface Systemd {
  /** Says so, as `READY=1` or `STATUS=loading`; of one name only the latest value that waits is sent. */
  say(name: "READY" | "STATUS" | "STOPPING", value: string): void;
  /** Resolves when nothing waits and no program runs. */
  idle(): Promise<void>;
  /** Sends no more signs of life. */
  close(): void;
}

/**
 * Null where systemd asks for nothing: without `NOTIFY_SOCKET`. Where `WATCHDOG_USEC` asks for signs of
 * life they are sent twice as often, as long as `isLive` says so.
 *
 * At most one program runs at a time, and never for long: what is to be said meanwhile waits, one value
 * for each name. The unit needs `NotifyAccess=all`, since the program is another process than the node.
 *
 * @param onFault called once, when the program cannot be started or fails
 */
export function connectSystemd(
  environment: NodeJS.ProcessEnv,
  options: { isLive: () => boolean; onFault: (reason: string) => void },
): Systemd | null {
  const { NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID } = environment;
  if (!NOTIFY_SOCKET) return null;
  const waiting = new Map<string, string>();
  let running: Promise<void> | null = null;
  let isFaultSaid = false;

  const send = async () => {
    while (waiting.size > 0) {
      const said = [...waiting].map(([name, value]) => `${name}=${value.replaceAll("\n", " ")}`);
      waiting.clear();
      const fault = await run(said, environment);
      if (fault === null || isFaultSaid) continue;
      isFaultSaid = true;
      options.onFault(fault);
    }
    running = null;
  };
  const say = (name: string, value: string) => {
    waiting.set(name, value);
    running ??= send();
  };

  const isMeant = WATCHDOG_PID === undefined || Number(WATCHDOG_PID) === process.pid;
  const microseconds = isMeant ? Number(WATCHDOG_USEC) : 0;
  const timer =
    microseconds > 0
      ? setInterval(() => options.isLive() && say("WATCHDOG", "1"), microseconds / 2000).unref()
      : undefined;
  return {
    say,
    idle: () => running ?? Promise.resolve(),
    close: () => clearInterval(timer),
  };
}

/** @returns what went wrong, or null */
function run(said: readonly string[], environment: NodeJS.ProcessEnv): Promise<string | null> {
  const { PATH, NOTIFY_SOCKET } = environment;
  const child = spawn("systemd-notify", [`--pid=${process.pid}`, ...said], {
    env: { PATH, NOTIFY_SOCKET },
    stdio: "ignore",
    timeout: PATIENCE_MS,
    killSignal: "SIGKILL",
  });
  const end = () => void child.kill("SIGKILL"); // the timeout ends with this process
  process.once("exit", end);
  return new Promise<string | null>((resolve) => {
    child.on("error", (error) => resolve(`systemd-notify cannot be started: ${error.message}`));
    child.on("exit", (code, signal) =>
      resolve(code === 0 ? null : `systemd-notify ended: ${signal ?? code}`),
    );
  }).finally(() => process.off("exit", end));
}
