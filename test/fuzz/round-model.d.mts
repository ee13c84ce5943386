export type Command =
  | { kind: "init" | "init/generate" | "init/validate"; body: object; isValid: boolean }
  | { kind: "phase/generate" | "phase/validate" | "stop" | "up" | "down" | "chat" }
  | { kind: "begin" | "job"; body: object; isValid: boolean };

export type Door = "rest" | "trpc" | "mlnode";

/** A node without a round has `round` null; `number` counts the rounds that have begun. */
export interface Expected {
  state: string;
  round: object | null;
  number: number;
  /** The broker has stopped the model. */
  isDown: boolean;
}

export const FRESH: Expected;

export const DEFAULT_SEQ_LEN: number;
export const MODEL: string;

export function step(
  before: Expected,
  command: Command,
  door?: Door,
): { status: number; after: Expected };
