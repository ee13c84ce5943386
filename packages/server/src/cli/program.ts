/** The command line. */
import { Command, CommanderError } from "commander";
import { say, stderr, stdout } from "../platform/output.ts";
import { version } from "../version.ts";
import { backupCommand } from "./backup.ts";
import { benchCommand } from "./bench.ts";
import { calibrateCommand } from "./calibrate.ts";
import { chatCommand } from "./chat.ts";
import { doctorCommand } from "./doctor.ts";
import { Exit } from "./exit.ts";
import { helpLayout } from "./help.ts";
import { keyCommand } from "./key.ts";
import { restoreCommand } from "./restore.ts";
import { roundCommand } from "./round.ts";
import { selftestCommand } from "./selftest.ts";
import { serveCommand } from "./serve.ts";
import { statusCommand } from "./status.ts";
import { stopCommand } from "./stop.ts";
import { validateCommand } from "./validate.ts";

/** What a wrong command line ends with. */
const USAGE_EXIT_CODE = 2;

/**
 * Runs the command that the arguments name.
 *
 * @param argv without node and the script
 * @returns the exit code to end with; a command that goes on running returns when it has started
 */
export async function run(
  argv: readonly string[],
  environment: NodeJS.ProcessEnv = process.env,
): Promise<number> {
  const code = await runCommand(argv, environment);
  await stdout.idle();
  return code === 0 && stdout.fault ? 1 : code;
}

async function runCommand(
  argv: readonly string[],
  environment: NodeJS.ProcessEnv,
): Promise<number> {
  try {
    await program(environment).parseAsync(argv, { from: "user" });
    return 0;
  } catch (error) {
    if (error instanceof Exit) {
      if (error.message !== "") say(error.message);
      return error.code;
    }
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? 0 : USAGE_EXIT_CODE;
  }
}

function program(environment: NodeJS.ProcessEnv): Command {
  const program = new Command("proofmill")
    .description(
      "A Proof-of-Compute node: searches nonces with a language model and checks others'.",
    )
    .version(version)
    .exitOverride()
    .configureHelp(helpLayout)
    .hook("preSubcommand", (_, command) => refuseWhatNpmTook(command, environment))
    .hook("preAction", standSomewhere)
    .configureOutput({
      writeOut: (text) => stdout.write(text),
      writeErr: (text) => stderr.write(text),
      outputError: (text, write) =>
        write(`proofmill: ${inOneLine(text.replace(/^error: /, ""))}\n`),
    });
  // addCommand, unlike command(), does not hand these settings down.
  const commands = [
    serveCommand(environment),
    roundCommand(),
    validateCommand(),
    statusCommand(),
    stopCommand(),
    chatCommand(),
    calibrateCommand(environment),
    backupCommand(environment),
    restoreCommand(environment),
    doctorCommand(environment),
    benchCommand(),
    selftestCommand(),
    keyCommand(),
  ];
  for (const command of commands) {
    program.addCommand(command.copyInheritedSettings(program));
    for (const below of command.commands) below.copyInheritedSettings(command);
  }
  // What is wrong before a command's name is the program's own: the commands have other flags.
  return program.configureOutput({
    outputError: (text, write) => write(`proofmill: ${inOneLine(commandIsMissing(text))}\n`),
  });
}

function commandIsMissing(text: string): string {
  const fault = text.replace(/^error: /, "").trim();
  return `${fault}: expected a command, and its options after it; proofmill --help lists the commands`;
}

/** `npm start --port 1`: without the `--` before it npm keeps the flag, and leaves its value. */
function refuseWhatNpmTook(command: Command, environment: NodeJS.ProcessEnv): void {
  if (environment.npm_package_name !== "proofmill") return;
  for (const option of command.options) {
    const flag = `--${option.name()}`;
    if (environment[`npm_config_${option.name().replaceAll("-", "_")}`] === undefined) continue;
    command.error(`npm kept ${flag} to itself: put -- before it, as in npm start -- ${flag}`);
  }
}

/** Every path that is not absolute, and each process that is started, needs the current folder. */
function standSomewhere(): void {
  try {
    process.cwd();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Exit(1, `the current folder cannot be used any more (${code}); go to another first`);
  }
}

/** Without the credentials of an address that it quotes: what is said here may be kept in a log. */
function inOneLine(text: string): string {
  return text
    .trim()
    .replaceAll(/\s*\n\s*/g, " ")
    .replaceAll(/:\/\/[^\s/]*@/g, "://…@");
}
