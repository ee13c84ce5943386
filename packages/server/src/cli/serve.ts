/** `proofmill serve`: runs a node until a signal ends it. */
import { within } from "@proofmill/core";
import { Command } from "commander";
import type { RunningNode } from "../node.ts";
import { listenFault } from "../platform/listen-fault.ts";
import { exit, say } from "../platform/output.ts";
import { onStopSignal } from "../platform/signals.ts";
import type { Systemd } from "../platform/systemd.ts";
import type { ServeConfig } from "../settings/config.ts";
import { addServeOptions, UNHEALTHY_EXIT_CODE } from "../settings/options.ts";
import { readConfig } from "../settings/read.ts";
import { showDevices } from "./devices.ts";
import { tellSystemd } from "./systemd-status.ts";

/** What systemd is told at the end has so many milliseconds. */
const TELL_GRACE_MS = 1000;

export function serveCommand(environment: NodeJS.ProcessEnv): Command {
  const command = new Command("serve").description("run a node");
  addServeOptions(command);
  command.option("--list-devices", "print what --device may name on this machine, and end");
  return command.action(async (_: string | undefined, { listDevices }: { listDevices?: true }) => {
    if (listDevices) return showDevices();
    await serve(readConfig(command, environment), environment);
  });
}

async function serve(config: ServeConfig, environment: NodeJS.ProcessEnv): Promise<void> {
  let systemd: Systemd | null = null;
  let node: RunningNode | null = null;
  let isStopping = false;
  onStopSignal(
    () => {
      isStopping = true;
      if (node) void end(node, 0); // while it starts, `isStopping` ends it below
    },
    () => node?.reread(),
  );
  // Other commands do without the server, and begin in half the time.
  const { ListenError, startNode } = await import("../node.ts");
  try {
    node = await startNode(config);
  } catch (error) {
    say(
      error instanceof ListenError
        ? `cannot listen on ${config.host} port ${config.port}: ${listenFault(error)}`
        : messageOf(error),
    );
    return exit(1);
  }
  if (isStopping) return end(node, 0);
  systemd = tellSystemd(node, environment);
  const started = node;
  void node.lost.then((reason) => {
    if (!config.exitWhenUnhealthy || isStopping) return;
    say(`the runner is lost for good: ${reason.message}`);
    void end(started, UNHEALTHY_EXIT_CODE);
  });
  try {
    await node.loaded;
  } catch (error) {
    say(`the model could not be loaded: ${messageOf(error)}`);
    await end(node, 1);
  }

  async function end(ending: RunningNode, code: number): Promise<void> {
    systemd?.say("STOPPING", "1");
    systemd?.close();
    const told = within(TELL_GRACE_MS, systemd?.idle() ?? Promise.resolve());
    const [isClosed] = await Promise.all([ending.close(), told]);
    if (isClosed) await exit(code);
    endAtOnce(code);
  }
}

/**
 * An ordinary exit would wait for the disk. What was promised is stored already: nothing is lost. Node
 * 22.15 and later can become another process, which ends with the code; before, a signal ends this one.
 */
function endAtOnce(code: number): void {
  const { execPath, execve }: { execPath: string; execve?: Execve } = process;
  execve?.(execPath, [execPath, "--eval", `process.exit(${code})`], {});
  process.removeAllListeners("SIGTERM");
  process.kill(process.pid, "SIGTERM");
}

type Execve = (file: string, args: readonly string[], env: NodeJS.ProcessEnv) => never;

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
