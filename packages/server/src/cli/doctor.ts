/** `proofmill doctor`: what would fail in the round that pays, looked for before it. */
import { Command } from "commander";
import { addServeOptions } from "../settings/options.ts";
import { readConfig } from "../settings/read.ts";
import { callbackAddress, integer } from "../settings/values.ts";
import type { DoctorOptions } from "./examine.ts";
import { paragraph } from "./help.ts";

const SERVE_HELP =
  "Beside these it takes every option and variable of serve: proofmill serve --help lists them.";

export function doctorCommand(environment: NodeJS.ProcessEnv): Command {
  const command = new Command("doctor").description(
    "check what the next round needs, with the arguments of serve and the node stopped: device, " +
      "model, memory, rate, disk, open files, address, keys, TLS, and the aggregator with its clock",
  );
  addServeOptions(command);
  // Sixty flags would hide the three that are the command's own.
  for (const option of command.options) option.hideHelp();
  return command
    .addHelpText("after", paragraph(SERVE_HELP))
    .option("--callback-url <url>", "the aggregator's, as rounds will name it", callbackAddress)
    .option("--seconds <n>", "how long to time a search, 1 to 3600", integer(1, 3600), 10)
    .option(
      "--v2",
      "play the network's broker too: begin a round of artifacts, receive its callbacks, have a " +
        "sample validated; --callback-url is the broker's then",
      false,
    )
    .option("--json", "print one JSON object and nothing else", false)
    .action(async () => {
      const config = readConfig(command, environment);
      const { examine } = await import("./examine.ts"); // as serve: with the server, which takes its time
      await examine(config, command.opts<DoctorOptions>());
    });
}
