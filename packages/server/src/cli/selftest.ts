/** `proofmill selftest`: whether this machine, or its GPU, computes what it must. */
import type { CheckResult, Selftest, SelftestOptions } from "@proofmill/native/selftest";
import { Command } from "commander";
import { say, stdout } from "../platform/output.ts";
import { MAX_THREADS } from "../settings/options.ts";
import { deviceOptions } from "../settings/shared-options.ts";
import { integer } from "../settings/values.ts";
import { Exit } from "./exit.ts";

export function selftestCommand(): Command {
  const command = new Command("selftest")
    .description(
      "check a device: golden distances and artifacts, every operation, batch invariance, a steady search",
    )
    .option("--seconds <n>", "length of the steady search, 1 to 86400", integer(1, 86_400), 60)
    .option(
      "--threads <n>",
      `threads on the CPU, 1 to ${MAX_THREADS} (default: one per core)`,
      integer(1, MAX_THREADS),
    )
    .option("--json", "print one JSON object and nothing else", false);
  for (const option of deviceOptions()) command.addOption(option);
  return command.action(async ({ json, ...options }: SelftestOptions & { json: boolean }) => {
    const onResult = (result: CheckResult) => {
      if (!json) stdout.write(row(result));
      if (stdout.fault?.code === "EPIPE") process.exit(1); // whoever reads has seen enough
    };
    const result = await check({ ...options, onResult, onNotice: say }).catch((error: Error) => {
      throw new Exit(1, error.message);
    });
    const failed = result.checks.filter(({ ok }) => !ok).length;
    if (json) stdout.write(`${JSON.stringify(result)}\n`);
    else stdout.write(`${result.device}: ${failed === 0 ? "all passed" : `${failed} failed`}\n`);
    if (failed > 0) throw new Exit(1, "");
  });
}

async function check(options: SelftestOptions): Promise<Selftest> {
  // The addon is loaded by no command but this, bench and the runner's process.
  const { selftest } = await import("@proofmill/native/selftest");
  return selftest(options);
}

function row({ name, ok, seconds, detail }: CheckResult): string {
  return `${ok ? "ok    " : "FAILED"}  ${name.padEnd(26)} ${seconds.toFixed(1).padStart(6)} s  ${detail}\n`;
}
