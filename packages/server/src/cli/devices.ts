/** `proofmill serve --list-devices`: what `--device` may name on this machine. */
import { stdout } from "../platform/output.ts";
import { type DeviceInfo, listDevices } from "../runners/devices.ts";
import { Exit } from "./exit.ts";

const HEAD = ["device", "name", "memory free", "arithmetic in bfloat16", "in float32"];

export async function showDevices(): Promise<void> {
  const devices = await listDevices().catch((error: Error) => {
    throw new Exit(1, error.message);
  });
  stdout.write(table([HEAD, ...devices.map(row)]));
}

function row({ id, name, memory, arithmetic }: DeviceInfo): string[] {
  const free = memory ? `${gib(memory.free)} of ${gib(memory.total)} GiB` : "";
  if ("fault" in arithmetic) return [id, name, free, arithmetic.fault];
  return [id, name, free, arithmetic.bfloat16, arithmetic.float32];
}

function table(rows: readonly string[][]): string {
  const widths = HEAD.map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  const lines = rows.map((row) => row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join("  "));
  return `${lines.map((line) => line.trimEnd()).join("\n")}\n`;
}

function gib(bytes: number): string {
  return (bytes / 2 ** 30).toFixed(1);
}
