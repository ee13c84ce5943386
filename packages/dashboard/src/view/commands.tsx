/** What the page can have the node do, each after a question. */

import { useSignal } from "@preact/signals";
import { doubtsOf, type InitBody, proofIn, type ValidateAnswer } from "@proofmill/client";
import { useMemo } from "preact/hooks";
import { brief } from "../brief.ts";
import { count, decimal, probability } from "../format.ts";
import type { FollowedNode } from "../node/followed-node.ts";
import { randomDistance } from "../random-distance.ts";
import { Dialog } from "./dialog.tsx";
import { LONGEST_INPUT } from "./parts.tsx";

/** Characters of a proof: one of 4,096 nonces, the most that a node takes unless it was told otherwise, has 100,000. */
const LONGEST_PROOF = 2_000_000;
/** What the target of a first round lets pass: of a hundred nonces one. */
const USUAL_SHARE = 0.01;
/** As JSON writes one. */
const NUMBER = "-?[0-9]+(\\.[0-9]+)?(e[+\\-]?[0-9]+)?";

type Command = "begin" | "stop" | "phaseGenerate" | "phaseValidate" | "validate";

export function Commands({ node }: { node: FollowedNode }) {
  const open = useSignal<Command | null>(null);
  const verdict = useSignal<Verdict | null>(null);
  const state = node.status.value?.state;
  const hasRound = node.status.value?.round_id != null;
  const mayCommand = node.may("admin");
  const mayValidate = node.may("validate");
  const isOpen = node.connection.value.state === "open";
  const close = () => {
    open.value = null;
  };
  const button = (command: Command, text: string, isPossible: boolean) => (
    <button
      type="button"
      disabled={!isPossible}
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
      {button("begin", "Begin a round …", mayCommand)}
      {button("stop", "Stop …", mayCommand && isAtWork(state))}
      {button("phaseGenerate", "Search …", mayCommand && hasRound && state !== "GENERATING")}
      {button("phaseValidate", "Validate …", mayCommand && hasRound && state !== "VALIDATING")}
      {button("validate", "Check a proof …", mayValidate && (hasRound || !isOpen))}
      {isOpen && node.info.value && !mayCommand && (
        <p class="note">
          {mayValidate
            ? "This key may have proofs checked; commands need the scope admin."
            : "This key may only look: commands need the scope admin, checks of proofs validate."}
        </p>
      )}
      {verdict.value && <VerdictNote {...verdict.value} />}
      {open.value === "begin" && <BeginDialog node={node} {...common} />}
      {open.value === "stop" && (
        <Dialog {...common} title="Stop the round?" verb="Stop it" act={() => node.client.stop()}>
          <p>Its results stay, and it can go on later.</p>
        </Dialog>
      )}
      {open.value === "phaseGenerate" && (
        <Dialog
          {...common}
          title="Search in this round?"
          verb="Search"
          act={() => node.client.phaseGenerate()}
        >
          <p>The search goes on where it stopped.</p>
        </Dialog>
      )}
      {open.value === "phaseValidate" && (
        <Dialog
          {...common}
          title="Validate in this round?"
          verb="Validate"
          act={() => node.client.phaseValidate()}
        >
          <p>The search stops; verdicts go to the round's callback.</p>
        </Dialog>
      )}
      {open.value === "validate" && (
        <Dialog
          {...common}
          title="Check a proof"
          verb="Check it"
          act={async (form) => {
            const text = String(form.get("proof"));
            if (text.length >= LONGEST_PROOF) {
              throw new SyntaxError(`No proof is longer than ${count(LONGEST_PROOF)} characters`);
            }
            const { proof, arithmetic } = proofIn(JSON.parse(text));
            const answer = await node.judge(proof);
            verdict.value = { answer, doubts: doubtsOf(answer, arithmetic) };
          }}
        >
          <label>
            A ProofBatch as JSON, or what a node's status answers
            <textarea
              name="proof"
              required
              spellcheck={false}
              maxLength={LONGEST_PROOF}
              wrap="off"
            />
          </label>
        </Dialog>
      )}
    </div>
  );
}

/** A state that only newer nodes have may be one in which they work; to stop once more does no harm. */
function isAtWork(state: string | undefined): boolean {
  return state !== undefined && state !== "IDLE" && state !== "STOPPED";
}

interface Verdict {
  answer: ValidateAnswer;
  /** What makes it say less than it seems to. */
  doubts: readonly string[];
}

function VerdictNote({ answer, doubts }: Verdict) {
  const { nonces, n_invalid, probability_honest } = answer;
  return (
    <div role="status" class="verdict">
      <p>
        <strong>{headlineOf(answer)}</strong> {count(n_invalid)} of {count(nonces.length)} nonces do
        not match; probability of an honest prover: {probability(probability_honest)}
      </p>
      {doubts.map((doubt) => (
        <p key={doubt} class="banner warning">
          Warning: {brief(doubt)}
        </p>
      ))}
    </div>
  );
}

function headlineOf({ fraud_detected, probability_honest }: ValidateAnswer): string {
  if (fraud_detected) return "Fraud.";
  return probability_honest < 0 ? "Nothing to judge." : "No fraud.";
}

interface BeginDialogProps {
  node: FollowedNode;
  close: () => void;
}

/** What is not given is the node's default; what does not fit the node says, in its own words. */
function BeginDialog({ node, close }: BeginDialogProps) {
  const last = node.status.value;
  const { vocab_size } = node.info.value ?? {};
  const random = useMemo(() => (vocab_size ? randomDistance(vocab_size) : null), [vocab_size]);
  const target = useSignal(last?.r_target ?? random?.within(USUAL_SHARE).toFixed(4) ?? "");
  const share = random?.share(Number(target.value)) ?? 0;
  return (
    <Dialog
      title="Begin a round?"
      verb="Begin"
      close={close}
      act={(form) => {
        const body = bodyOf(form);
        return form.get("state") === "VALIDATING"
          ? node.client.initValidate(body)
          : node.client.initGenerate(body);
      }}
    >
      <div class="fields">
        <Field name="block_hash" text="block hash" hint="abc123" required />
        <Field name="block_height" text="block height" hint="100" isNumber required />
        <Field name="public_key" text="public key" hint="node1" value={last?.public_key} required />
        <Field
          name="r_target"
          text="target (r_target)"
          isNumber
          value={target.peek()}
          onInput={(text) => {
            target.value = text;
          }}
          required
        />
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
      </div>
      <p class="note">
        A nonce is found when its distance is less than the target
        {share > 0 && `: by chance 1 in ${decimal(1 / share, share > 0.1 ? 1 : 0)}`}.
      </p>
    </Dialog>
  );
}

interface FieldProps {
  name: keyof InitBody;
  text: string;
  isNumber?: boolean;
  value?: string | number | null | undefined;
  /** What may stand there, for who has never begun a round. */
  hint?: string;
  onInput?: (text: string) => void;
  required?: boolean;
}

function Field(props: FieldProps) {
  const { name, text, isNumber = false, value, hint, onInput, required = false } = props;
  return (
    <label>
      {text}
      <input
        name={name}
        defaultValue={value ?? ""}
        required={required}
        {...(hint && { placeholder: hint })}
        onInput={({ currentTarget }) => onInput?.(currentTarget.value)}
        maxLength={LONGEST_INPUT}
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
