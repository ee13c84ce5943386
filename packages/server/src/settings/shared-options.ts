/** The options that several commands have. */
import { type Command, Option } from "commander";
import { dataFolder } from "../platform/folders.ts";
import { variableOf } from "./environment.ts";
import { device, folder, share } from "./values.ts";

/** The options of every command that loads one model. */
export function deviceOptions(): Option[] {
  return [
    new Option(
      "--device <device>",
      "where to compute: cpu, cuda (the first GPU) or cuda:N, counted from 0; auto: a GPU where there is one, else the CPU",
    )
      .argParser(device)
      .default("auto"),
    gpuMemoryOption(),
  ];
}

export function gpuMemoryOption(): Option {
  return new Option(
    "--gpu-memory-utilization <share>",
    "share of a GPU's memory that may be in use, by anyone, once the model is loaded; more than 0, at most 1",
  )
    .argParser(share)
    .default(0.9);
}

/** Gives a command the data folder of `serve`. */
export function addDataDirOption(command: Command): Command {
  const option = dataDirOption();
  option.description += ` (env: ${variableOf(option)})`;
  return command.addOption(option);
}

export function dataDirOption(): Option {
  const option = new Option(
    "--data-dir <folder>",
    "folder for rounds, finds and undelivered callbacks; one for each node",
  ).argParser(folder);
  const standard = dataFolder();
  return standard === null ? option : option.default(standard);
}
