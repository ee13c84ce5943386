/** `proofmill key new`: a key, and its line for a key file. */
import { SCOPES, type Scope } from "@proofmill/core";
import { Command, InvalidArgumentError, Option } from "commander";
import { isLabel, lineOf, readScopes } from "../access/key-file.ts";
import { digestOf, newKey } from "../access/keys.ts";
import { stdout } from "../platform/output.ts";

export function keyCommand(): Command {
  const create = new Command("new")
    .description(
      "make a key: it is shown this once, and the line is for the node's --api-key-file, which keeps " +
        "no more than a hash",
    )
    .addOption(
      new Option("--scopes <scope,…>", `what it allows, of ${SCOPES.join(", ")}`)
        .argParser(scopes)
        .default(["admin"], "admin"),
    )
    .option("--label <text>", "its name in logs and metrics (default: one from its hash)", label)
    .option("--json", "print one JSON object and nothing else", false)
    .action((options: { scopes: Scope[]; label?: string; json: boolean }) => {
      const key = newKey();
      const digest = digestOf(key);
      const label = options.label ?? `key-${digest.toString("hex", 0, 4)}`;
      const line = lineOf({ label, scopes: options.scopes, digest });
      stdout.write(
        options.json ? `${JSON.stringify({ key, line })}\n` : `key   ${key}\nline  ${line}\n`,
      );
    });
  return new Command("key").description("make keys of a node's callers").addCommand(create);
}

function scopes(value: string): Scope[] {
  const read = readScopes(value);
  if (read) return read;
  throw new InvalidArgumentError(`Expected scopes like read,inference, of ${SCOPES.join(", ")}.`);
}

function label(value: string): string {
  if (isLabel(value)) return value;
  throw new InvalidArgumentError("Expected 1 to 64 letters, digits, dots, _ and -.");
}
