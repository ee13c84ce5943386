/** How each process that holds the model is. */
import { brief } from "../brief.ts";
import { count, mebibytes, NOTHING } from "../format.ts";
import type { FollowedNode } from "../node/followed-node.ts";
import { Card, Pill, Table } from "./parts.tsx";

/** Shown at most: no machine has more, but a node may say anything. */
const MOST_RUNNERS = 256;
/** Of what a newer node calls otherwise nobody here knows whether it is well. */
const BAD = new Set(["stalled", "restarting", "lost"]);
const COLUMNS = ["runner", "state", "restarts", "memory", "why it ended last"];

export function RunnersCard({ node }: { node: FollowedNode }) {
  const runners = node.info.value?.runners.slice(0, MOST_RUNNERS) ?? [];
  return (
    <Card title="Runners" name="runners">
      <Table of="runners" columns={COLUMNS}>
        {runners.map(({ id, device, state, restarts, memory, reason }) => (
          <tr key={id}>
            <td title={brief(device ?? "")}>{brief(id)}</td>
            <td>
              <Pill state={state} isBad={BAD.has(state)} />
            </td>
            <td>{count(restarts)}</td>
            <td>{mebibytes(memory)}</td>
            <td>{brief(reason ?? NOTHING)}</td>
          </tr>
        ))}
      </Table>
    </Card>
  );
}
