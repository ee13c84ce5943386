/** All of the page. */
import type { Nodes } from "../node/nodes.ts";
import { Banner } from "./banner.tsx";
import { EventsCard, VerdictsCard } from "./events-card.tsx";
import { FindsCard } from "./finds-card.tsx";
import { LuckCard } from "./luck-card.tsx";
import { CallbacksCard, InferenceCard, ModelCard, RunnersCard } from "./node-cards.tsx";
import { NodesCard } from "./nodes-card.tsx";
import { RateCard } from "./rate-card.tsx";
import { RoundCard } from "./round-card.tsx";

export function Page({ nodes }: { nodes: Nodes }) {
  const node = nodes.chosen.value;
  const info = node.info.value;
  return (
    <>
      <header>
        <h1>proofmill</h1>
        <p>
          {info?.model ?? ""} <span class="note">{node.url}</span>
        </p>
        <a href="docs">API</a>
      </header>
      <main key={node.url}>
        <Banner node={node} />
        <div class="grid">
          <RoundCard node={node} />
          <RateCard node={node} />
          <LuckCard node={node} />
          <FindsCard node={node} />
          <ModelCard node={node} />
          <RunnersCard node={node} />
          <CallbacksCard node={node} />
          <InferenceCard node={node} />
          <VerdictsCard node={node} />
          <EventsCard node={node} />
          <NodesCard nodes={nodes} />
        </div>
      </main>
    </>
  );
}
