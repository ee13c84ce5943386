/** `proofmill validate`: has a running node judge a proof. */
import { createReadStream } from "node:fs";
import { getSystemErrorMap } from "node:util";
import { type GivenProof, proofIn, RoundError } from "@proofmill/client";
import { Command } from "commander";
import { stdout } from "../platform/output.ts";
import { Exit } from "./exit.ts";
import { addRemoteOptions, clientOf, orExit, type RemoteOptions } from "./remote.ts";
import { verdictOf } from "./report.ts";

/** What a detected fraud ends with; a failure ends with 1. */
const FRAUD_EXIT_CODE = 3;
/** Several times what a node takes, whatever its bounds. */
const MAX_PROOF_BYTES = 64 * 2 ** 20;

export function validateCommand(): Command {
  const command = new Command("validate")
    .description(
      `have a node recompute a proof and judge it; ends with ${FRAUD_EXIT_CODE} when it finds fraud`,
    )
    .argument("<file>", "a ProofBatch as JSON, or what `round --json` printed; - reads stdin");
  return addRemoteOptions(command).action((file: string, options: RemoteOptions) =>
    orExit(async () => {
      const { proof, arithmetic } = await readProof(file);
      const answer = await clientOf(options).validate(proof).catch(withAdvice);
      stdout.write(options.json ? `${JSON.stringify(answer)}\n` : verdictOf(answer, arithmetic));
      if (answer.fraud_detected) throw new Exit(FRAUD_EXIT_CODE);
    }),
  );
}

/** What to do where the node's own words say only what does not fit. */
function withAdvice(error: unknown): never {
  const isOtherRound =
    error instanceof RoundError && ["NO_ROUND", "BLOCK_HASH_MISMATCH"].includes(error.code);
  if (!isOtherRound) throw error;
  const advice = "a node judges proofs of its own round's block: begin one of the proof's first";
  throw new Exit(1, `${error.message}: ${advice}`);
}

/** Reads the file's JSON. Whether it is a proof is for the node to say. */
async function readProof(file: string): Promise<GivenProof> {
  const name = file === "-" ? "stdin" : file;
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of file === "-" ? process.stdin : createReadStream(file)) {
      length += chunk.length;
      if (length > MAX_PROOF_BYTES) {
        throw new Exit(
          1,
          `${name}: is longer than a proof, expected at most ${MAX_PROOF_BYTES} bytes`,
        );
      }
      chunks.push(chunk);
    }
    return proofIn(JSON.parse(new TextDecoder().decode(Buffer.concat(chunks)))); // without a BOM
  } catch (error) {
    if (error instanceof Exit) throw error;
    throw new Exit(1, `${name}: ${error instanceof SyntaxError ? "is not JSON" : reasonOf(error)}`);
  }
}

/** The system's words, without the call that failed. */
function reasonOf(error: unknown): string {
  const { errno, message } = error as NodeJS.ErrnoException;
  return getSystemErrorMap().get(errno ?? 0)?.[1] ?? message;
}
