export type Command =
  | { kind: "init" | "init/generate" | "init/validate"; body: object; isValid: boolean }
  | { kind: "phase/generate" | "phase/validate" | "stop" };

/** A node without a round has `round` null; `number` counts the rounds that have begun. */
export interface Expected {
  state: string;
  round: object | null;
  number: number;
}

export const FRESH: Expected;

export const DEFAULT_SEQ_LEN: number;

export function step(before: Expected, command: Command): { status: number; after: Expected };
