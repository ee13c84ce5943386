/** How each process that holds the model is. */
import { brief } from "../brief.ts";
import { count, mebibytes, NOTHING } from "../format.ts";
import type { FollowedNode } from "../node/followed-node.ts";
import { Card } from "./parts.tsx";

/** More is no machine's. */
const MOST_RUNNERS = 256;

export function RunnersCard({ node }: { node: FollowedNode }) {
  const runners = node.info.value?.runners.slice(0, MOST_RUNNERS) ?? [];
  return (
    <Card title="Runners" name="runners">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: the keyboard scrolls it where it is too wide */}
      <section class="wide" tabIndex={0} aria-label="Table of runners">
        <table>
          <thead>
            <tr>
              {["runner", "state", "restarts", "memory", "why it ended last"].map((name) => (
                <th key={name} scope="col">
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {runners.map(({ id, device, state, restarts, memory, reason }) => (
              <tr key={id}>
                <td title={brief(device ?? "")}>{brief(id)}</td>
                <td>
                  <span class={`pill ${state} ${isWell(state) ? "" : "bad"}`}>{state}</span>
                </td>
                <td>{count(restarts)}</td>
                <td>{mebibytes(memory)}</td>
                <td>{brief(reason ?? NOTHING)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    </Card>
  );
}

function isWell(state: string): boolean {
  return state === "alive" || state === "loading";
}
