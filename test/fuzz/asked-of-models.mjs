// What a stranger may send to the doors of answers, artifacts and brokers: bodies that are nearly right,
// so that more of them come through than of those that are drawn as JSON alone.
import fc from "fast-check";
import { asJson, text, value } from "./drawn.mjs";

const content = fc.oneof(
  text,
  fc.array(
    text.map((each) => ({ type: "text", text: each })),
    { maxLength: 3 },
  ),
  fc.constantFrom("<|im_end|>", "{{ 7 * 7 }}", "{% for i in range(9) %}", "a".repeat(3000)),
);
const message = fc.record(
  { role: fc.oneof(fc.constantFrom("user", "system", "assistant", "tool"), text), content },
  { requiredKeys: ["role"] },
);
const ids = fc.array(fc.oneof(fc.nat(258), fc.nat(600)), { maxLength: 20 });

/** What a body may have, as it should be. */
const FIELDS = {
  model: fc.constant("proofmill-demo"),
  messages: fc.array(message, { minLength: 1, maxLength: 5 }),
  prompt: fc.oneof(text, ids, fc.array(text, { maxLength: 4 }), fc.array(ids, { maxLength: 4 })),
  tokens: ids,
  max_tokens: fc.integer({ min: 1, max: 40 }),
  n: fc.integer({ min: 1, max: 4 }),
  stream: fc.boolean(),
  stream_options: fc.record({ include_usage: fc.boolean() }),
  stop: fc.oneof(text, fc.array(text, { maxLength: 20 })),
  stop_token_ids: ids,
  temperature: fc.double({ min: 0, max: 3, noNaN: true }),
  top_p: fc.double({ min: 0, max: 1, noNaN: true }),
  top_k: fc.integer({ min: -1, max: 300 }),
  min_p: fc.double({ min: 0, max: 1, noNaN: true }),
  seed: fc.integer(),
  repetition_penalty: fc.double({ min: 0.1, max: 3, noNaN: true }),
  logit_bias: fc.dictionary(fc.nat(600).map(String), fc.double({ min: -200, max: 200 })),
  logprobs: fc.oneof(fc.boolean(), fc.nat(25)),
  top_logprobs: fc.nat(25),
  enforced_tokens: ids,
  return_token_ids: fc.boolean(),
  return_token_strs: fc.boolean(),
  echo: fc.boolean(),
  tools: fc.array(fc.record({ type: fc.constantFrom("function", "x"), function: value })),
  chat_template_kwargs: fc.dictionary(text, value),
  response_format: fc.record({ type: fc.oneof(fc.constantFrom("text", "json_object"), value) }),
};
const NEEDED = ["messages", "prompt", "tokens"];
const OTHERS = Object.keys(FIELDS).filter((name) => !NEEDED.includes(name));

/** A body of these fields; now and then one of them is what nobody expects. */
const bodyWith = (needed) =>
  fc
    .tuple(
      fc.record(Object.fromEntries([needed, "max_tokens"].map((name) => [name, FIELDS[name]]))),
      fc.record(Object.fromEntries(OTHERS.map((name) => [name, FIELDS[name]])), {
        requiredKeys: [],
      }),
      fc.subarray(OTHERS, { maxLength: 4 }),
      fc.option(fc.tuple(fc.constantFrom(needed, ...OTHERS), value), { nil: null, freq: 3 }),
    )
    .map(([whole, others, kept, spoilt]) => {
      const some = Object.fromEntries(
        kept.flatMap((name) => (name in others ? [[name, others[name]]] : [])),
      );
      return asJson({ ...whole, ...some, ...(spoilt && { [spoilt[0]]: spoilt[1] }) });
    });

const artifacts = fc.record({
  block_hash: fc.constant("a"),
  block_height: fc.constant(1),
  public_key: fc.constant("k"),
  node_id: fc.oneof(fc.nat(3), value),
  node_count: fc.oneof(fc.integer({ min: 1, max: 3 }), value),
  params: fc.oneof(
    { weight: 3, arbitrary: fc.constant({ model: "proofmill-demo", seq_len: 4 }) },
    { weight: 1, arbitrary: value },
  ),
  nonces: fc.oneof({ weight: 3, arbitrary: fc.array(fc.nat(9), { maxLength: 9 }) }, value),
  wait: fc.boolean(),
  validation: fc.option(
    fc.record({
      artifacts: fc.array(
        fc.record({ nonce: fc.oneof(fc.nat(9), value), vector_b64: fc.oneof(text, value) }),
        { maxLength: 9 },
      ),
    }),
  ),
  stat_test: fc.option(
    fc.record({ dist_threshold: value, p_mismatch: value }, { requiredKeys: [] }),
  ),
});

const PREFIX = fc.constantFrom("", "", "/v3.0.13", "//", "/..", "/%2e%2e", "/a/b", "/__proto__");
const sent = (path, body) =>
  fc
    .tuple(PREFIX, body)
    .map(([prefix, text]) => ({ method: "POST", path: prefix + path, body: text }));
const POW = "/api/v1/inference/pow";
const GONE = "90:0a8d2e1c-0000-4000-8000-000000000000";

/** Requests whose bodies are no commands. */
export const askedOfModels = fc.oneof(
  { weight: 4, arbitrary: sent("/v1/chat/completions", bodyWith("messages")) },
  { weight: 4, arbitrary: sent("/v1/completions", bodyWith("prompt")) },
  { weight: 1, arbitrary: sent("/tokenize", fc.oneof(bodyWith("messages"), bodyWith("prompt"))) },
  { weight: 1, arbitrary: sent("/detokenize", bodyWith("tokens")) },
  { weight: 2, arbitrary: sent(`${POW}/generate`, artifacts.map(asJson)) },
  { weight: 2, arbitrary: sent("/api/v1/pow/generate", artifacts.map(asJson)) },
  {
    weight: 1,
    arbitrary: fc.oneof(
      ...["status", "download"].map((path) =>
        sent(
          `/api/v1/models/${path}`,
          value.map((hf_repo) => asJson({ hf_repo })),
        ),
      ),
    ),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(
        PREFIX,
        fc.constantFrom(
          ...["/api/v1/state", "/api/v1/versions", "/api/v1/inference/up/status", `${POW}/status`],
          ...["/api/v1/models/list", "/api/v1/models/space", "/api/v1/gpu/devices"],
          ...["/api/v1/gpu/driver", "/v1/models", "/v1/models/proofmill-demo", "/v1/models/%00"],
          ...["/health", `${POW}/generate/${GONE}`, `${POW}/generate/x`, `${POW}/generate/%2f`],
        ),
      )
      .map(([prefix, path]) => ({ method: "GET", path: prefix + path, body: null })),
  },
);
