export function fuzzWords(options: { seed: number; count: number }): Promise<{
  texts: number;
  tokens: number;
  lone: number;
  faults: string[];
}>;
