/** The round: its state, since when, and what it was begun with. */
import { count, decimal, duration, NOTHING } from "../format.ts";
import type { FollowedNode } from "../node/followed-node.ts";
import { Commands } from "./commands.tsx";
import { Ago, Card, Facts, Pill } from "./parts.tsx";

export function RoundCard({ node }: { node: FollowedNode }) {
  const round = node.round.value;
  const status = node.status.value;
  return (
    <Card title="Round" name="round">
      <p class="state">
        <Pill state={status?.state ?? NOTHING} /> <Since node={node} />
      </p>
      <Facts
        of={{
          proves: round?.proves,
          "block hash": round?.block_hash,
          "block height": round && count(round.block_height),
          "public key": round?.public_key,
          "target (r_target)": round?.r_target == null ? null : decimal(round.r_target, 9),
          "node id, node count": pair(round?.node_id, round?.node_count),
          "round id": round?.round_id,
          "time spent": round && duration(round.elapsed_seconds),
          "not finite": status && count(status.total_nonfinite),
        }}
      />
      {round?.proves === null && round.state === "IDLE" && (
        <p class="note">
          There is no round yet: begin one here, by proofmill round, or over the API.
        </p>
      )}
      <Commands node={node} />
    </Card>
  );
}

/** Since when the state is as it is, as well as that is known. */
function Since({ node }: { node: FollowedNode }) {
  node.grown.value; // the series grow in place
  const state = node.status.value?.state;
  if (!state) return null;
  const { minutes, day } = node;
  const at = node.changedAt.value ?? minutes.stateSince(state) ?? day.stateSince(state);
  if (at !== null) {
    return (
      <span>
        for <Ago at={at} />
      </span>
    );
  }
  const oldest = Math.min(...day.at.slice(0, 1), ...minutes.at.slice(0, 1));
  if (oldest === Number.POSITIVE_INFINITY) return null;
  return (
    <span>
      for more than <Ago at={oldest} />
    </span>
  );
}

function pair(id: number | null | undefined, many: number | null | undefined): string | null {
  if (id === null || id === undefined || many === null || many === undefined) return null;
  return id === -1 || many === -1 ? "not set" : `${count(id)} of ${count(many)}`;
}
