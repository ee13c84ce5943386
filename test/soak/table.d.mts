export interface Row {
  scenario: string;
  figure: string;
  value: string;
  bound: string;
  holds: boolean;
}

export function rowsOf(played: {
  name: string;
  bounds: Record<string, { least?: number; most?: number }>;
  figures: Record<string, number>;
  fault?: Error | null;
}): Row[];

export function linesOf(rows: readonly Row[]): string[];
