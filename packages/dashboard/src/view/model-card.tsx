/** What the node has loaded, and what computes it. */
import { count } from "../format.ts";
import type { FollowedNode } from "../node/followed-node.ts";
import { Card, Facts } from "./parts.tsx";

export function ModelCard({ node }: { node: FollowedNode }) {
  const info = node.info.value;
  const status = node.status.value;
  return (
    <Card title="Model" name="model">
      <Facts
        of={{
          model: info?.model,
          loaded: status && (status.is_model_initialized ? "yes" : "no"),
          arithmetic: info?.arithmetic,
          dtype: info?.dtype,
          device: info?.device,
          architecture: info?.architecture,
          "hidden size": info && count(info.hidden_size),
          vocabulary: info && count(info.vocab_size),
          "longest sequence": info && count(info.max_seq_len),
          "proofmill's version": info?.version,
        }}
      />
    </Card>
  );
}
