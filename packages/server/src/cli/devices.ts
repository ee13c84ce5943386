/** `proofmill serve --list-devices`: what `--device` may name on this machine. */
import { say, stdout } from "../platform/output.ts";
import { type DeviceInfo, listDevices } from "../runners/devices.ts";
import { Exit } from "./exit.ts";

const HEAD = ["device", "name", "memory free", "arithmetic in bfloat16", "in float32"];
const UNUSABLE = "cannot be used";

export async function showDevices(): Promise<void> {
  const { devices, noGpu } = await listDevices().catch((error: Error) => {
    throw new Exit(1, error.message);
  });
  stdout.write(table([HEAD, ...devices.map(row)]));
  for (const fault of devices.flatMap(faultsOf)) say(fault);
  if (noGpu !== null) say(noGpu);
}

function row({ id, name, memory, arithmetic }: DeviceInfo): string[] {
  const free = memory ? `${gib(memory.free)} of ${gib(memory.total)} GiB` : "";
  const tags = [arithmetic.bfloat16, arithmetic.float32].map((each) =>
    "tag" in each ? each.tag : UNUSABLE,
  );
  return [id, name ?? UNUSABLE, free, ...tags];
}

/** What keeps a device from being used, in one precision or, said once, in both. */
function faultsOf({ id, arithmetic }: DeviceInfo): string[] {
  const faults = Object.entries(arithmetic).flatMap(([dtype, each]) =>
    "fault" in each ? [{ dtype, fault: each.fault }] : [],
  );
  const [first, second] = faults;
  if (first && first.fault === second?.fault) return [`${id}: ${first.fault}`];
  return faults.map(({ dtype, fault }) => `${id} in ${dtype}: ${fault}`);
}

function table(rows: readonly string[][]): string {
  const widths = HEAD.map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  const lines = rows.map((row) => row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join("  "));
  return `${lines.map((line) => line.trimEnd()).join("\n")}\n`;
}

function gib(bytes: number): string {
  return (bytes / 2 ** 30).toFixed(1);
}
