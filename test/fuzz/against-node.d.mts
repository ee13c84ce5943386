export function fuzzNode(options: {
  seed: number;
  count: number;
  onProgress?: (done: number) => void;
}): Promise<{
  sent: number;
  commands: number;
  statuses: Record<string, number>;
  faults: string[];
}>;
