/** How commands explain themselves: lines that fit the terminal, however narrow it is. */
import type { AddHelpTextContext, Help, HelpConfiguration } from "commander";

/** A description with less room beside its flag stands below it, characters. */
const LEAST_BESIDE = 32;
const INDENT = " ".repeat(6);
const STANDARD_WIDTH = 80;

/** For `configureHelp`. */
export const helpLayout: HelpConfiguration = { minWidthToWrap: 16, formatItem };

function formatItem(term: string, termWidth: number, description: string, helper: Help): string {
  const width = helper.helpWidth ?? STANDARD_WIDTH;
  const beside = width - termWidth - 4;
  const [start, room, indent] =
    beside < LEAST_BESIDE
      ? [`  ${term}\n${INDENT}`, width - INDENT.length, INDENT]
      : [`  ${term.padEnd(termWidth)}  `, beside, " ".repeat(termWidth + 4)];
  return start + helper.boxWrap(description, room).replaceAll("\n", `\n${indent}`);
}

/**
 * A paragraph below the options.
 *
 * @example
 * command.addHelpText("after", paragraph("Ends with 0 when the node is ready."))
 */
export function paragraph(text: string): (context: AddHelpTextContext) => string {
  return ({ command }) => {
    const width = command.configureOutput().getOutHelpWidth?.() ?? STANDARD_WIDTH;
    return `\n${command.createHelp().boxWrap(text, width)}`;
  };
}
