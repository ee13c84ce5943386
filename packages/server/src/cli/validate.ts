/** `proofmill validate`: has a running node judge a proof. */
import { readFileSync } from "node:fs";
import type { ProofBatch } from "@proofmill/client";
import { Command } from "commander";
import { stdout } from "../output.ts";
import { Exit } from "./exit.ts";
import { addRemoteOptions, clientOf, orExit, type RemoteOptions } from "./remote.ts";
import { verdictOf } from "./report.ts";

/** What a detected fraud ends with; a failure ends with 1. */
const FRAUD_EXIT_CODE = 3;

export function validateCommand(): Command {
  const command = new Command("validate")
    .description(
      `have a node recompute a proof and judge it; ends with ${FRAUD_EXIT_CODE} when it finds fraud`,
    )
    .argument("<file>", "a ProofBatch as JSON; - reads stdin");
  return addRemoteOptions(command).action((file: string, options: RemoteOptions) =>
    orExit(async () => {
      const proof = readProof(file);
      const answer = await clientOf(options).validate(proof);
      stdout.write(options.json ? `${JSON.stringify(answer)}\n` : verdictOf(answer));
      if (answer.fraud_detected) throw new Exit(FRAUD_EXIT_CODE);
    }),
  );
}

/** The file's JSON; whether it is a proof the node says. */
function readProof(file: string): ProofBatch {
  try {
    const bytes = readFileSync(file === "-" ? 0 : file);
    return JSON.parse(new TextDecoder().decode(bytes)) as ProofBatch; // without a BOM
  } catch (error) {
    const reason = error instanceof SyntaxError ? "is not JSON" : (error as Error).message;
    throw new Exit(1, `${file === "-" ? "stdin" : file}: ${reason}`);
  }
}
