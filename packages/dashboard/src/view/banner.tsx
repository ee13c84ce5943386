/** What is wrong with the connection or the node, and what to do. */
import type { Connection, PocClientError } from "@proofmill/client";
import type { ComponentChildren } from "preact";
import { brief } from "../brief.ts";
import type { FollowedNode } from "../node/followed-node.ts";
import { KeyPrompt } from "./key-prompt.tsx";

export function Banner({ node }: { node: FollowedNode }) {
  const connection = node.connection.value;
  const health = node.info.value?.health;
  const notes =
    connection.state === "open" && health ? [...health.reasons, ...health.warnings] : [];
  // Each has a code of its own, so that there are only as many.
  const shown = new Map(notes.map(({ code, text }) => [code, text]));
  return (
    <div class="banners" role="status">
      <ConnectionBanner node={node} connection={connection} />
      {[...shown].map(([code, text]) => (
        <p key={code} class="banner warning">
          {brief(text)}
        </p>
      ))}
    </div>
  );
}

function ConnectionBanner({ node, connection }: { node: FollowedNode; connection: Connection }) {
  switch (connection.state) {
    case "open":
      return null;
    case "connecting":
      return <p class="banner">Connecting to {node.url} …</p>;
    case "lost":
      return (
        <p class="banner bad">
          <strong>
            {node.status.value ? "The connection is lost." : "There is no connection so far."}
          </strong>{" "}
          {node.status.value && "What is shown may be old. "}It is tried again by itself; is the
          node running? {whyNone(node)}({brief(connection.error.message)})
        </p>
      );
    case "refused":
      return isAboutKey(connection.error) ? (
        <KeyPrompt node={node} error={connection.error} />
      ) : (
        <div class="banner bad">
          <p>
            <strong>{headline(connection.error)}</strong> {advice(connection.error)}
          </p>
          <p class="note">{brief(connection.error.message)}</p>
          <button type="button" onClick={() => node.tryAgain()}>
            Try again
          </button>
        </div>
      );
  }
}

/** Browsers tell no page why there was no answer. */
function whyNone({ url }: FollowedNode): ComponentChildren {
  const isSecret = url.startsWith("https:");
  if (!isSecret && location.protocol === "https:") {
    return "This page came by https, so browsers let it ask no node by http on another machine. ";
  }
  if (!isSecret || url.startsWith(location.origin)) return null;
  return (
    <>
      Whether this browser trusts its certificate, <a href={`${url}/livez`}>its address</a> tells.{" "}
    </>
  );
}

function isAboutKey({ code }: PocClientError): boolean {
  return code === "UNAUTHORIZED" || code === "SCOPE_REQUIRED";
}

function headline({ code }: PocClientError): string {
  switch (code) {
    case "ORIGIN_REFUSED":
    case "FORBIDDEN":
      return "The node refuses this page.";
    case "NOT_A_NODE":
      return "There is no node at this address.";
    case "POC_NOT_ENABLED":
      return "Proof of Compute is off.";
    default:
      return "The node cannot be followed now.";
  }
}

function advice({ code }: PocClientError): string {
  switch (code) {
    case "ORIGIN_REFUSED":
    case "FORBIDDEN":
      return `Start it with --allow-origin ${location.origin} to let it in. If it was: this must be the address of the node itself, not one that leads on to it.`;
    case "NOT_A_NODE":
      return "Look at the address: it is that of the node itself, without a path.";
    case "POC_NOT_ENABLED":
      return "Start the node with --enable-poc to switch it on.";
    default:
      return "It is tried again by itself.";
  }
}
