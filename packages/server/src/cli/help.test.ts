import { Command } from "commander";
import { expect, test } from "vitest";
import { addServeOptions } from "../settings/options.ts";
import { helpLayout, paragraph } from "./help.ts";

/** What `--help` prints in a terminal of so many columns. */
function helpOf(columns: number): string {
  const texts: string[] = [];
  const command = addServeOptions(new Command("serve"))
    .configureHelp(helpLayout)
    .configureOutput({ getOutHelpWidth: () => columns, writeOut: (text) => texts.push(text) })
    .addHelpText(
      "after",
      paragraph("Ends with 0 when a signal ended it, and with 1 when it failed."),
    );
  command.outputHelp();
  return texts.join("");
}

test.each([48, 60, 80, 132])("in %i columns no line of the help wraps", (columns) => {
  const help = helpOf(columns);
  // A variable's name alone can be longer than a column.
  const long = help.split("\n").filter((line) => line.length > columns);
  expect(long.filter((line) => /\S\s+\S/.test(line))).toEqual([]);
  const words = help.replaceAll(/\s+/g, " ");
  expect(words).toContain("port to listen on, 0 (any free one) to 65535");
  expect(words).toContain("Ends with 0 when a signal ended it, and with 1 when it failed.");
});

test("where a description would be a column of single words, it stands below its flag", () => {
  expect(helpOf(50)).toMatch(/^ {2}--port <n>\n {6}port to listen on/m);
  expect(helpOf(80)).toMatch(/^ {2}--port <n> +port to listen on/m);
});
