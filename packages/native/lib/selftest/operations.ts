/** Every operation of the device against the CPU's; inputs and permutations bit for bit. */
import type { Precision } from "../model/precision.ts";
import { brief, type Check } from "./check.ts";

export function operationsCheck(dtype: Precision): Check {
  return {
    name: `operations, ${dtype}`,
    run: async (device) => {
      const rows = await device.compareOperations(dtype);
      const failed = rows.filter(({ holds }) => !holds);
      const worst = new Map<string, number>();
      for (const { operation, error } of rows) {
        worst.set(operation, Math.max(worst.get(operation) ?? 0, error));
      }
      const errors = [...worst].map(([name, error]) => `${name} ${brief(error)}`).join(", ");
      const [first] = failed;
      const complaint = first
        ? `; ${failed.length} are off, first ${first.operation} ${first.shape}: ${first.error}, allowed ${first.allowed}`
        : "";
      return {
        ok: rows.length > 0 && failed.length === 0,
        detail: `${rows.length} on ragged shapes: ${errors}${complaint}`,
      };
    },
  };
}
