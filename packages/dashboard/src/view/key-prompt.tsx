/** Asks for the key of a node that wants one. */

import { useSignal } from "@preact/signals";
import type { PocClientError } from "@proofmill/client";
import type { FollowedNode } from "../node/followed-node.ts";
import { LONGEST_INPUT } from "./parts.tsx";

export function KeyPrompt({ node, error }: { node: FollowedNode; error: PocClientError }) {
  const key = useSignal("");
  const fault = useSignal<string | null>(null);
  const isOther = error.code === "SCOPE_REQUIRED";
  return (
    <form
      class="banner"
      onSubmit={(event) => {
        event.preventDefault();
        fault.value = node.useKey(key.value.trim());
      }}
    >
      <p>
        <strong>{headline(node, isOther)}</strong>{" "}
        {isOther ? "It needs one whose scopes have read." : "proofmill key new makes one."} What you
        enter is kept until this tab is closed.
      </p>
      <label>
        API key{" "}
        <input
          type="password"
          autocomplete="off"
          required
          maxLength={LONGEST_INPUT}
          value={key}
          onInput={({ currentTarget }) => {
            key.value = currentTarget.value;
          }}
        />
      </label>{" "}
      <button type="submit">Use this key</button> <output class="fault">{fault}</output>
    </form>
  );
}

function headline(node: FollowedNode, isOther: boolean): string {
  if (isOther) return "This key is not enough.";
  return node.hasKey ? "The node does not know this key." : "This node asks for a key.";
}
