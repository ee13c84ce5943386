/** A round of artifacts and the jobs that judge those of others (docs/protocol-v2.md). */
import { count } from "../format.ts";
import type { FollowedNode } from "../node/followed-node.ts";
import { Card, Facts, Figures } from "./parts.tsx";

export function ArtifactsCard({ node }: { node: FollowedNode }) {
  const info = node.info.value;
  const artifacts = info?.artifacts;
  const delivery = info?.delivery;
  return (
    <Card title="Artifacts" name="artifacts">
      <Figures
        of={{
          "a minute": count(artifacts?.round?.artifacts_per_minute),
          "in this round": count(artifacts?.round?.total_artifacts),
          delivered: count(delivery?.delivered_nonces),
          "refused for good": count(delivery?.given_up_nonces),
        }}
      />
      <Facts
        of={{
          "to be delivered": count(delivery?.pending_nonces),
          "jobs that wait": count(artifacts?.waiting_jobs),
          "their nonces": count(artifacts?.waiting_nonces),
          "jobs completed": count(artifacts?.completed_jobs),
          "jobs failed": count(artifacts?.failed_jobs),
          "jobs cancelled": count(artifacts?.cancelled_jobs),
          "validations finished": count(artifacts?.verdicts),
          "of them fraud": count(artifacts?.frauds),
        }}
      />
      <p class="note">Deliveries, jobs and validations are counted since the node started.</p>
    </Card>
  );
}

/** Whether there is anything to show: nodes of distances alone have no such jobs. */
export function hasArtifacts(node: FollowedNode): boolean {
  const artifacts = node.info.value?.artifacts;
  if (!artifacts) return false;
  const { waiting_jobs, completed_jobs, failed_jobs, cancelled_jobs } = artifacts;
  const jobs = waiting_jobs + completed_jobs + failed_jobs + cancelled_jobs;
  return node.round.value?.proves === "artifacts" || jobs > 0;
}
