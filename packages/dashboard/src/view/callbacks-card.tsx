/** What was delivered to receivers, what waits, and why. */
import { brief } from "../brief.ts";
import { count, duration } from "../format.ts";
import type { FollowedNode } from "../node/followed-node.ts";
import { Ago, Card, Facts } from "./parts.tsx";

/** Kinds of failures that are shown. */
const MOST_FAILURES = 20;

export function CallbacksCard({ node }: { node: FollowedNode }) {
  const delivery = node.info.value?.delivery;
  const trouble = node.events.value.findLast(({ kind, is_bad }) => kind === "callback" && is_bad);
  const failures = Object.entries(delivery?.failures ?? {}).slice(0, MOST_FAILURES);
  return (
    <Card title="Callbacks" name="callbacks">
      <Facts
        of={{
          "pending nonces": count(delivery?.pending_nonces),
          "pending verdicts": count(delivery?.pending_verdicts),
          "oldest pending": delivery && duration(delivery.oldest_seconds),
          "delivered nonces": count(delivery?.delivered_nonces),
          "delivered verdicts": count(delivery?.delivered_verdicts),
          "given up nonces": count(delivery?.given_up_nonces),
          "given up verdicts": count(delivery?.given_up_verdicts),
          failures: failures.map(([why, many]) => `${why}: ${count(many)}`).join(", ") || "none",
          "last trouble": trouble ? (
            <>
              {brief(trouble.text)} (<Ago at={trouble.at} /> ago)
            </>
          ) : (
            "none"
          ),
        }}
      />
    </Card>
  );
}
