/** `proofmill stop`: ends a running node's round. */
import { Command } from "commander";
import { stdout } from "../platform/output.ts";
import { addRemoteOptions, clientOf, orExit, type RemoteOptions } from "./remote.ts";
import { jsonOf, summaryOf } from "./report.ts";

export function stopCommand(): Command {
  const command = new Command("stop").description(
    "end the round of a running node; inference is answered again",
  );
  return addRemoteOptions(command).action((options: RemoteOptions) =>
    orExit(async () => {
      const client = clientOf(options);
      const { pow_status } = await client.stop();
      // What has ended may have been a round of artifacts, of which a status tells nothing.
      const round = pow_status.round_id === null ? (await client.nodeInfo()).artifacts.round : null;
      stdout.write(options.json ? jsonOf(pow_status) : summaryOf(pow_status, round));
    }),
  );
}
