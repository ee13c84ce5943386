/** All nodes that the page looks at, to choose one of. */
import { useSignal } from "@preact/signals";
import { brief } from "../brief.ts";
import { count, NOTHING, rate } from "../format.ts";
import type { FollowedNode } from "../node/followed-node.ts";
import type { Nodes } from "../node/nodes.ts";
import { Card, LONGEST_INPUT, Table } from "./parts.tsx";

const COLUMNS = [
  ...["node", "state", "nonces/s now", "health", "lag"],
  <span class="unseen">remove</span>,
];

export function NodesCard({ nodes }: { nodes: Nodes }) {
  const address = useSignal("");
  const fault = useSignal<string | null>(null);
  return (
    <Card title="Nodes" name="nodes">
      <Table of="nodes" columns={COLUMNS}>
        {nodes.all.value.map((node) => (
          <NodeRow key={node.url} node={node} nodes={nodes} />
        ))}
      </Table>
      <form
        class="add"
        onSubmit={(event) => {
          event.preventDefault();
          fault.value = nodes.add(address.value);
          if (fault.value === null) address.value = "";
        }}
      >
        <label>
          another node's address{" "}
          <input
            required
            maxLength={LONGEST_INPUT}
            placeholder="http://10.0.0.7:8000"
            value={address}
            onInput={({ currentTarget }) => {
              address.value = currentTarget.value;
            }}
          />
        </label>
        <button type="submit">Add</button>
        <output class="fault">{fault}</output>
      </form>
      <p class="note">
        Other nodes let this page in where they were started with --allow-origin {location.origin}
      </p>
    </Card>
  );
}

function NodeRow({ node, nodes }: { node: FollowedNode; nodes: Nodes }) {
  const isChosen = nodes.chosen.value === node;
  const round = node.round.value;
  const lag = node.lag.value;
  return (
    <tr>
      <td>
        <button type="button" aria-pressed={isChosen} onClick={() => nodes.choose(node)}>
          {node.url}
        </button>
      </td>
      <td>{round?.state ?? NOTHING}</td>
      <td data-of="nonces/s">{rate(node.rateNow.value)}</td>
      <td class="health">{healthOf(node)}</td>
      <td data-of="lag">{lag === null ? NOTHING : `${count(lag)}\u00a0ms`}</td>
      <td>
        {node !== nodes.own && (
          <button
            type="button"
            aria-label={`Remove ${node.url}`}
            onClick={() => nodes.remove(node)}
          >
            ×
          </button>
        )}
      </td>
    </tr>
  );
}

function healthOf(node: FollowedNode): string {
  const connection = node.connection.value;
  if (connection.state === "lost" || connection.state === "refused") {
    return `${connection.state}: ${brief(connection.error.message)}`;
  }
  const health = node.info.value?.health;
  if (!health) return NOTHING;
  return brief([...health.reasons, ...health.warnings][0]?.text ?? "well");
}
