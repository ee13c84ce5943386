/** `proofmill serve`: runs a node until a signal ends it. */
import { Command } from "commander";
import { addServeOptions, readConfig, type ServeConfig } from "../config.ts";
import { type RunningNode, startNode } from "../node.ts";
import { exit, say } from "../output.ts";
import { onStopSignal } from "../signals.ts";
import { DataFolderError } from "../store/database.ts";

export function serveCommand(environment: NodeJS.ProcessEnv): Command {
  const command = new Command("serve").description("run a node");
  return addServeOptions(command).action(async () => {
    await serve(readConfig(command, environment));
  });
}

async function serve(config: ServeConfig): Promise<void> {
  let node: RunningNode | null = null;
  let isStopping = false;
  onStopSignal(() => {
    isStopping = true;
    if (node) void end(node, 0); // else below, as soon as there is one
  });
  try {
    node = await startNode(config);
  } catch (error) {
    say(
      error instanceof DataFolderError
        ? error.message
        : `cannot listen on ${config.host} port ${config.port}: ${listenFault(error)}`,
    );
    return exit(1);
  }
  if (isStopping) return end(node, 0);
  try {
    await node.loaded;
  } catch (error) {
    say(`the model could not be loaded: ${error instanceof Error ? error.message : error}`);
    await end(node, 1);
  }
}

async function end(node: RunningNode, code: number): Promise<void> {
  await node.close();
  await exit(code);
}

function listenFault(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  switch (code) {
    case "EADDRINUSE":
      return "the port is in use; choose another with --port";
    case "EACCES":
      return "not permitted; ports below 1024 need a privilege, choose another with --port";
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return "this machine has no such address; choose another with --host";
    default:
      return message;
  }
}
