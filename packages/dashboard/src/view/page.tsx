/** All of the page. */
import type { Nodes } from "../node/nodes.ts";
import { Banner } from "./banner.tsx";
import { FindsCard } from "./finds-card.tsx";
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
          <FindsCard node={node} />
        </div>
      </main>
    </>
  );
}
