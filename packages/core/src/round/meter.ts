/** What a node counts and times, told to whoever keeps such figures. */
import type { EndedJob } from "../runner/dispatcher.ts";
import type { ArtifactVerdict } from "../wire/artifact-schemas.ts";
import type { ValidatedBatch } from "../wire/schemas.ts";

/** Nonces of a search that are stored, and counted from now on. */
export interface SearchedNonces {
  readonly checked: number;
  readonly valid: number;
  /** Results that were not finite; they are checked, and not valid. */
  readonly nonfinite: number;
}

export interface EndedArtifactJob {
  readonly status: "completed" | "failed" | "cancelled";
  /** What was said of a prover; null where it was not asked, or nothing can be said. */
  readonly verdict: ArtifactVerdict | null;
}

/** Told in the middle of the work: its methods return at once and never throw. */
export interface Meter {
  /** Each job that a runner was given, once it has ended. */
  jobEnded(job: EndedJob): void;
  /** @param scheme what the round proves */
  searched(nonces: SearchedNonces, scheme: string): void;
  /** A job of artifacts has ended. */
  artifactJob(job: EndedArtifactJob): void;
  /** @param seconds from the proof's arrival to its verdict, waiting included */
  judged(verdict: ValidatedBatch, seconds: number): void;
}

/** Tells all of them what it is told. */
export function toEach(meters: readonly Partial<Meter>[]): Meter {
  return {
    jobEnded: (job) => {
      for (const meter of meters) meter.jobEnded?.(job);
    },
    searched: (nonces, scheme) => {
      for (const meter of meters) meter.searched?.(nonces, scheme);
    },
    artifactJob: (job) => {
      for (const meter of meters) meter.artifactJob?.(job);
    },
    judged: (verdict, seconds) => {
      for (const meter of meters) meter.judged?.(verdict, seconds);
    },
  };
}

/** For nodes that nobody measures. */
export const noMeter: Meter = { jobEnded() {}, searched() {}, artifactJob() {}, judged() {} };
