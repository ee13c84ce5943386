// Preloaded into a process (`--import`), on all its threads: its clock is ahead of the machine's by the
// milliseconds that stand in the file CLOCK_SHIFT_FILE, which may be written anew at any time. What is
// measured with a clock that is never set (timers, performance.now) stays as it is.
import { readFileSync } from "node:fs";

const { now } = Date;
const file = process.env.CLOCK_SHIFT_FILE;

function shifted() {
  return now() + Number(readFileSync(file, "utf8"));
}

globalThis.Date = class extends Date {
  constructor(...args) {
    super(...(args.length === 0 ? [shifted()] : args));
  }

  static now() {
    return shifted();
  }
};
