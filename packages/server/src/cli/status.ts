/** `proofmill status`: what a running node does. */
import { Command } from "commander";
import { stdout } from "../platform/output.ts";
import { addRemoteOptions, clientOf, orExit, type RemoteOptions } from "./remote.ts";
import { summaryOf } from "./report.ts";

export function statusCommand(): Command {
  const command = new Command("status").description("show what a running node does");
  return addRemoteOptions(command).action((options: RemoteOptions) =>
    orExit(async () => {
      const status = await clientOf(options).status();
      stdout.write(options.json ? `${JSON.stringify(status)}\n` : summaryOf(status));
    }),
  );
}
