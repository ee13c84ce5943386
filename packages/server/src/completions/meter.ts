/** What is told of the answers by the node's own model, for those who keep figures. */

export type InferenceOutcome = "answered" | "cancelled" | "failed";

export interface InferenceMeter {
  inferenceBegan(promptTokens: number): void;
  /** Seconds from the request to its first token. */
  firstToken(seconds: number): void;
  /** So many tokens more. */
  generated(tokens: number): void;
  inferenceEnded(outcome: InferenceOutcome, seconds: number): void;
}

/** Tells all of them what it is told. */
export function toEachMeter(meters: readonly Partial<InferenceMeter>[]): InferenceMeter {
  return {
    inferenceBegan: (promptTokens) => {
      for (const meter of meters) meter.inferenceBegan?.(promptTokens);
    },
    firstToken: (seconds) => {
      for (const meter of meters) meter.firstToken?.(seconds);
    },
    generated: (tokens) => {
      for (const meter of meters) meter.generated?.(tokens);
    },
    inferenceEnded: (outcome, seconds) => {
      for (const meter of meters) meter.inferenceEnded?.(outcome, seconds);
    },
  };
}
