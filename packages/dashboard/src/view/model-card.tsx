/** What a node is and how its parts are: the model, runners, callbacks. */
import { count, duration, mebibytes, NOTHING } from "../format.ts";
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

export function RunnersCard({ node }: { node: FollowedNode }) {
  const runners = node.info.value?.runners ?? [];
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
                <td title={device ?? ""}>{id}</td>
                <td>
                  <span class={`pill ${state} ${isWell(state) ? "" : "bad"}`}>{state}</span>
                </td>
                <td>{count(restarts)}</td>
                <td>{mebibytes(memory)}</td>
                <td>{reason ?? NOTHING}</td>
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

export function CallbacksCard({ node }: { node: FollowedNode }) {
  const delivery = node.info.value?.delivery;
  const trouble = node.events.value.findLast(({ kind }) => kind === "callback");
  const failures = Object.entries(delivery?.failures ?? {});
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
          "last trouble": trouble?.text ?? "none",
        }}
      />
    </Card>
  );
}
