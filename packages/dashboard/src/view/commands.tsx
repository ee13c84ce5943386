/** What the page can have the node do, each after a question. */

import { useSignal } from "@preact/signals";
import {
  type InitBody,
  PocClientError,
  type ProofBatch,
  type ValidateAnswer,
} from "@proofmill/client";
import { count, probability } from "../format.ts";
import type { FollowedNode } from "../node/followed-node.ts";
import { Dialog } from "./dialog.tsx";

/** As JSON writes one. */
const NUMBER = "-?[0-9]+(\\.[0-9]+)?(e[+\\-]?[0-9]+)?";

type Command = "begin" | "stop" | "phaseGenerate" | "phaseValidate" | "validate";

export function Commands({ node }: { node: FollowedNode }) {
  const open = useSignal<Command | null>(null);
  const verdict = useSignal<ValidateAnswer | null>(null);
  const state = node.status.value?.state;
  const hasRound = node.status.value?.round_id != null;
  const mayCommand = node.mayCommand.value && node.connection.value.state === "open";
  const close = () => {
    open.value = null;
  };
  /** Does a command; where the key does not allow it, none is offered any more. */
  const doing = (command: () => Promise<unknown>) => async () => {
    try {
      await command();
    } catch (error) {
      const isScope = error instanceof PocClientError && error.code === "SCOPE_REQUIRED";
      if (isScope) node.mayCommand.value = false;
      throw error;
    }
  };
  const button = (command: Command, text: string, isPossible: boolean) => (
    <button
      type="button"
      disabled={!mayCommand || !isPossible}
      onClick={() => {
        open.value = command;
      }}
    >
      {text}
    </button>
  );
  const common = { close };
  return (
    <div class="commands">
      {button("begin", "Begin a round …", true)}
      {button("stop", "Stop …", state === "GENERATING" || state === "VALIDATING")}
      {button("phaseGenerate", "Search …", hasRound && state !== "GENERATING")}
      {button("phaseValidate", "Validate …", hasRound && state !== "VALIDATING")}
      {button("validate", "Check a proof …", hasRound)}
      {!node.mayCommand.value && (
        <p class="note">This key may not command the node: that needs the scope admin.</p>
      )}
      {verdict.value && <VerdictNote verdict={verdict.value} />}
      {open.value === "begin" && <BeginDialog node={node} {...common} doing={doing} />}
      {open.value === "stop" && (
        <Dialog
          {...common}
          title="Stop the round?"
          verb="Stop it"
          act={doing(() => node.client.stop())}
        >
          <p>Its results stay, and it can go on later.</p>
        </Dialog>
      )}
      {open.value === "phaseGenerate" && (
        <Dialog
          {...common}
          title="Search in this round?"
          verb="Search"
          act={doing(() => node.client.phaseGenerate())}
        >
          <p>The search goes on where it stopped.</p>
        </Dialog>
      )}
      {open.value === "phaseValidate" && (
        <Dialog
          {...common}
          title="Validate in this round?"
          verb="Validate"
          act={doing(() => node.client.phaseValidate())}
        >
          <p>The search stops; verdicts go to the round's callback.</p>
        </Dialog>
      )}
      {open.value === "validate" && (
        <Dialog
          {...common}
          title="Check a proof"
          verb="Check it"
          act={(form) =>
            doing(async () => {
              const proof = JSON.parse(String(form.get("proof"))) as ProofBatch;
              verdict.value = await node.client.validate(proof);
            })()
          }
        >
          <label>
            A ProofBatch as JSON
            <textarea name="proof" required spellcheck={false} />
          </label>
        </Dialog>
      )}
    </div>
  );
}

function VerdictNote({ verdict }: { verdict: ValidateAnswer }) {
  const { nonces, n_invalid, probability_honest, fraud_detected } = verdict;
  return (
    <p role="status" class="verdict">
      <strong>{fraud_detected ? "Fraud." : "No fraud."}</strong> {count(n_invalid)} of{" "}
      {count(nonces.length)} nonces do not match; probability of an honest prover:{" "}
      {probability(probability_honest)}
    </p>
  );
}

interface BeginDialogProps {
  node: FollowedNode;
  close: () => void;
  doing: (command: () => Promise<unknown>) => () => Promise<void>;
}

/** What is not given is the node's default; what does not fit the node says, in its own words. */
function BeginDialog({ node, close, doing }: BeginDialogProps) {
  const last = node.status.value;
  return (
    <Dialog
      title="Begin a round?"
      verb="Begin"
      close={close}
      act={(form) =>
        doing(() => {
          const body = bodyOf(form);
          return form.get("state") === "VALIDATING"
            ? node.client.initValidate(body)
            : node.client.initGenerate(body);
        })()
      }
    >
      <Field name="block_hash" text="block hash" required />
      <Field name="block_height" text="block height" isNumber required />
      <Field name="public_key" text="public key" value={last?.public_key ?? ""} required />
      <Field name="r_target" text="target (r_target)" isNumber value={last?.r_target} required />
      <Field name="node_id" text="node id" isNumber value={last?.node_id ?? 0} />
      <Field name="node_count" text="node count" isNumber value={last?.node_count ?? 1} />
      <Field name="seq_len" text="seq_len (empty: the node's default)" isNumber />
      <Field name="callback_url" text="callback address (empty: none)" />
      <label>
        then
        <select name="state">
          <option value="GENERATING">search</option>
          <option value="VALIDATING">validate</option>
        </select>
      </label>
    </Dialog>
  );
}

interface FieldProps {
  name: keyof InitBody;
  text: string;
  isNumber?: boolean;
  value?: string | number | null | undefined;
  required?: boolean;
}

function Field({ name, text, isNumber = false, value, required = false }: FieldProps) {
  return (
    <label>
      {text}
      <input
        name={name}
        defaultValue={value ?? ""}
        required={required}
        {...(isNumber && { inputMode: "decimal", pattern: NUMBER, title: "A number" })}
      />
    </label>
  );
}

function bodyOf(form: FormData): InitBody {
  const text = (name: keyof InitBody) => String(form.get(name) ?? "").trim();
  const number = (name: keyof InitBody) =>
    text(name) === "" ? {} : { [name]: Number(text(name)) };
  return {
    block_hash: text("block_hash"),
    block_height: Number(text("block_height")),
    public_key: text("public_key"),
    r_target: Number(text("r_target")),
    ...number("node_id"),
    ...number("node_count"),
    ...number("seq_len"),
    ...(text("callback_url") === "" ? {} : { callback_url: text("callback_url") }),
  };
}
