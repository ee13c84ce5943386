export function fuzzLoader(options: {
  seed: number;
  count: number;
  env?: NodeJS.ProcessEnv;
  onProgress?: (done: number) => void;
}): Promise<{
  models: number;
  loaded: number;
  refused: number;
  peak_mb: number;
  faults: string[];
}>;
