/** Options that a command's caller has named in the environment. */
import { type Command, InvalidArgumentError, type Option } from "commander";
import { boolean } from "./values.ts";

export function applyEnvironment(command: Command, environment: NodeJS.ProcessEnv): void {
  for (const option of command.options) {
    const variable = variableOf(option);
    const value = environment[variable];
    const key = option.attributeName();
    if (!value || command.getOptionValueSource(key) === "cli") continue;
    if (isServiceAddress(variable, value)) {
      const text = `${variable} is '${value}', which Kubernetes sets for a Service of that name: it is ignored`;
      command.configureOutput().writeErr?.(`proofmill: ${text}\n`);
      continue;
    }
    const parse: (value: string, previous: undefined) => unknown = option.parseArg ?? boolean;
    try {
      const parsed = parse(value, undefined);
      // PROOFMILL_NO_X says yes to --no-x, which says no to x.
      command.setOptionValueWithSource(key, option.negate ? !parsed : parsed, "env");
    } catch (error) {
      if (!(error instanceof InvalidArgumentError)) throw error;
      command.error(
        `environment variable ${variable} value '${value}' is invalid. ${error.message}`,
      );
    }
  }
}

/** Kubernetes sets `NAME_PORT` in every container for each Service, as Docker's links once did. */
function isServiceAddress(variable: string, value: string): boolean {
  return variable.endsWith("_PORT") && /^(tcp|udp|sctp):\/\//i.test(value);
}

/** `--poc-seq-len` → `PROOFMILL_POC_SEQ_LEN`. */
export function variableOf(option: Option): string {
  return `PROOFMILL_${option.name().replaceAll("-", "_").toUpperCase()}`;
}
