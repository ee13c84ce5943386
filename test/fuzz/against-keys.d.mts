export function fuzzKeys(options: { seed: number; count: number }): Promise<{
  sent: number;
  commands: number;
  statuses: Record<string, number>;
  faults: string[];
}>;
