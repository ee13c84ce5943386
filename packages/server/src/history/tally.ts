/** What came of inference and of jobs of artifacts since the node started, for those who ask how it is. */
import type { ArtifactsInfo, EndedArtifactJob, InferenceInfo, Meter } from "@proofmill/core";

type OfInference = Pick<
  InferenceInfo,
  "answered" | "cancelled" | "failed" | "prompt_tokens" | "generated_tokens"
>;
type OfJobs = Pick<
  ArtifactsInfo,
  "completed_jobs" | "failed_jobs" | "cancelled_jobs" | "verdicts" | "frauds"
>;

/** Told by the service and by the answers of the node's own model. */
export class Tally implements Partial<Meter> {
  readonly inference: OfInference = {
    ...{ answered: 0, cancelled: 0, failed: 0, prompt_tokens: 0, generated_tokens: 0 },
  };
  readonly jobs: OfJobs = {
    ...{ completed_jobs: 0, failed_jobs: 0, cancelled_jobs: 0, verdicts: 0, frauds: 0 },
  };

  artifactJob({ status, verdict }: EndedArtifactJob): void {
    this.jobs[`${status}_jobs`]++;
    if (!verdict) return;
    this.jobs.verdicts++;
    if (verdict.fraud_detected) this.jobs.frauds++;
  }

  inferenceBegan(promptTokens: number): void {
    this.inference.prompt_tokens += promptTokens;
  }

  generated(tokens: number): void {
    this.inference.generated_tokens += tokens;
  }

  inferenceEnded(outcome: "answered" | "cancelled" | "failed"): void {
    this.inference[outcome]++;
  }
}
