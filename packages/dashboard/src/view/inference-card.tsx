/** Inference: who may pass now, and how fast the node's own model answers. */
import { count, decimal } from "../format.ts";
import type { FollowedNode } from "../node/followed-node.ts";
import { Card, Facts } from "./parts.tsx";

const GATE: Readonly<Record<string, string>> = {
  open: "open: chats are answered",
  closed: "closed by the round: chats are refused",
  stopped: "closed: the network's broker has stopped the node",
  none: "this node serves no inference",
};

export function InferenceCard({ node }: { node: FollowedNode }) {
  node.grown.value; // the series grow in place
  const inference = node.info.value?.inference;
  const status = node.status.value;
  return (
    <Card title="Inference" name="inference">
      <Facts
        of={{
          gate: inference && (GATE[inference.gate] ?? inference.gate),
          refused: count(status?.inference_refused),
          "cut off": count(status?.inference_aborted),
          "under way": count(inference?.running),
          "tokens/s now": decimal(node.minutes.meanOfNow("tokens"), 1),
          "tokens answered": count(inference?.generated_tokens),
          "tokens read": count(inference?.prompt_tokens),
          "requests answered": count(inference?.answered),
          "given up": count(inference?.cancelled),
          failed: count(inference?.failed),
        }}
      />
    </Card>
  );
}
