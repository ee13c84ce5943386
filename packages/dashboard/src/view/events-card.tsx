/** What happened to the node, newest first; verdicts have a card of their own. */
import { brief } from "../brief.ts";
import type { FollowedNode } from "../node/followed-node.ts";
import type { NodeEvent } from "../node/told-schemas.ts";
import { Ago, Card } from "./parts.tsx";

export function EventsCard({ node }: { node: FollowedNode }) {
  return (
    <Card title="Events" name="events">
      <EventsList events={node.events.value} label="Events" />
    </Card>
  );
}

export function VerdictsCard({ node }: { node: FollowedNode }) {
  const verdicts = node.events.value.filter(({ kind }) => kind === "verdict");
  return (
    <Card title="Verdicts" name="verdicts events">
      <EventsList events={verdicts} label="Verdicts" />
    </Card>
  );
}

function EventsList({ events, label }: { events: readonly NodeEvent[]; label: string }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: the keyboard scrolls it
    <section class="events-list" tabIndex={0} aria-label={`List of ${label.toLowerCase()}`}>
      {events.length === 0 && <p class="note">None so far.</p>}
      <ol>
        {events.toReversed().map(({ id, at, is_bad, text }) => (
          <li key={id} class={is_bad ? "bad" : ""}>
            <span class="note">
              <Ago at={at} /> ago
            </span>
            <span>{brief(text)}</span>
          </li>
        ))}
      </ol>
    </section>
  );
}
