export function fuzzTokenizers(options: { seed: number; count: number }): Promise<{
  tokenizers: number;
  loaded: number;
  chats: number;
  faults: string[];
}>;
