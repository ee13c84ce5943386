/** `proofmill status`: what a running node does, and why it is not ready. */
import type { HealthCode, NodeHealth } from "@proofmill/core";
import { Command } from "commander";
import { stdout } from "../platform/output.ts";
import { printable } from "../platform/printable.ts";
import { Exit } from "./exit.ts";
import { paragraph } from "./help.ts";
import { addRemoteOptions, clientOf, orExit, type RemoteOptions } from "./remote.ts";
import { summaryOf } from "./report.ts";

/** What the command ends with for the first reason: 4 passes by itself, 5 and 6 want somebody. */
const EXIT_CODES: Readonly<Record<HealthCode, number>> = {
  ...{ MODEL_LOADING: 4, RUNNER_RESTARTING: 4, RUNNER_STALLED: 4, SHUTTING_DOWN: 4 },
  ...{ RUNNER_LOST: 5, RESULTS_NOT_FINITE: 5 },
  STORE_FAILED: 6,
};

const EXIT_HELP =
  "Ends with 0 when the node is ready, 4 while its model loads, its runner stands still or is started " +
  "again, or it ends, 5 when its runner is lost, 6 when it cannot store anything, 1 when it does not " +
  "answer or refuses.";

export function statusCommand(): Command {
  const command = new Command("status")
    .description("show what a running node does")
    .addHelpText("after", paragraph(EXIT_HELP));
  return addRemoteOptions(command).action((options: RemoteOptions) =>
    orExit(async () => {
      const client = clientOf(options);
      const [status, { health, model, artifacts }] = await Promise.all([
        client.status(),
        client.nodeInfo(),
      ]);
      stdout.write(
        options.json
          ? `${JSON.stringify({ ...status, ...health, artifacts })}\n`
          : `${summaryOf(status, artifacts.round)}model       ${printable(model ?? "unknown until it is loaded")}\n${notesOf(health)}`,
      );
      const [first] = health.reasons;
      if (first) throw new Exit(EXIT_CODES[first.code]);
    }),
  );
}

/** A line for each reason and warning. */
function notesOf({ reasons, warnings }: NodeHealth): string {
  const line = (kind: string) => (note: { text: string }) =>
    `${kind.padEnd(12)}${printable(note.text)}\n`;
  return [...reasons.map(line("not ready")), ...warnings.map(line("warning"))].join("");
}
