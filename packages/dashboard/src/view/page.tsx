/** All of the page. */
import { brief } from "../brief.ts";
import type { FollowedNode } from "../node/followed-node.ts";
import type { Nodes } from "../node/nodes.ts";
import { ArtifactsCard, hasArtifacts } from "./artifacts-card.tsx";
import { Banner } from "./banner.tsx";
import { CallbacksCard } from "./callbacks-card.tsx";
import { EventsCard, VerdictsCard } from "./events-card.tsx";
import { ExpectedCard } from "./expected-card.tsx";
import { FindsCard } from "./finds-card.tsx";
import { InferenceCard } from "./inference-card.tsx";
import { ModelCard } from "./model-card.tsx";
import { NodesCard } from "./nodes-card.tsx";
import { RateCard } from "./rate-card.tsx";
import { RoundCard } from "./round-card.tsx";
import { RunnersCard } from "./runners-card.tsx";

export function Page({ nodes }: { nodes: Nodes }) {
  const node = nodes.chosen.value;
  const info = node.info.value;
  // Of a node that was never seen there is nothing but lines to fill.
  const { state } = node.connection.value;
  const isUnknown = (state === "refused" || state === "lost") && node.status.value === null;
  return (
    <>
      <header>
        <h1>proofmill</h1>
        <p>
          {brief(info?.model ?? "")} <span class="note">{node.url}</span>
        </p>
        <a href={`${node.url}/docs`}>API</a>
      </header>
      <main key={node.url}>
        <Banner node={node} />
        <div class="grid">
          <RoundCard node={node} />
          {!isUnknown && <Cards node={node} />}
          <NodesCard nodes={nodes} />
        </div>
      </main>
    </>
  );
}

function Cards({ node }: { node: FollowedNode }) {
  const isOfArtifacts = node.round.value?.proves === "artifacts";
  return (
    <>
      <RateCard node={node} />
      {hasArtifacts(node) && <ArtifactsCard node={node} />}
      {/* Of artifacts every one counts: there is nothing to be found. */}
      {!isOfArtifacts && <ExpectedCard node={node} />}
      {!isOfArtifacts && <FindsCard node={node} />}
      <ModelCard node={node} />
      <RunnersCard node={node} />
      <CallbacksCard node={node} />
      <InferenceCard node={node} />
      <VerdictsCard node={node} />
      <EventsCard node={node} />
    </>
  );
}
