/** The examples of what a node says of itself. */
import { NO_DELIVERIES } from "../callbacks/sender.ts";
import { version } from "../version.ts";
import { misfit, type OperationExamples } from "./example.ts";

export const NODE_EXAMPLES: Readonly<Record<string, OperationExamples>> = {
  nodeInfo: {
    success: "What the node is, how its parts are, and what became of callbacks.",
    examples: [
      {
        given: "no round",
        status: 200,
        answer: {
          version,
          poc_enabled: true,
          model: "Qwen/Qwen3-0.6B",
          architecture: "Qwen3ForCausalLM",
          arithmetic: "cpu-fma-bf16-3",
          dtype: "bfloat16",
          device: "AMD EPYC 9R45",
          hidden_size: 1024,
          vocab_size: 151_936,
          num_hidden_layers: 28,
          max_position_embeddings: 40_960,
          lost_log_lines: 0,
          max_seq_len: 40_960,
          health: { reasons: [], warnings: [] },
          runners: [],
          delivery: NO_DELIVERIES,
          inference: {
            gate: "none",
            ...{ refused: 0, aborted: 0, running: 0, answered: 0, cancelled: 0, failed: 0 },
            ...{ prompt_tokens: 0, generated_tokens: 0 },
          },
          artifacts: {
            round: null,
            ...{ waiting_jobs: 0, waiting_nonces: 0, completed_jobs: 0, failed_jobs: 0 },
            ...{ cancelled_jobs: 0, verdicts: 0, frauds: 0 },
          },
          scopes: ["admin", "validate", "read", "inference"],
        },
      },
    ],
  },
  nodeHistory: {
    success: "The node's searches since it started, at most of a day.",
    examples: [
      {
        given: "stopped",
        query: "seconds=60",
        status: 200,
        answer: {
          ten_minutes: {
            at: [1_750_000_001_000, 1_750_000_002_000],
            state: ["GENERATING", "STOPPED"],
            checked: [8, 4],
            valid: [1, 0],
            rate_per_second: [8, 4],
            generated_tokens: [0, 0],
          },
          day: {
            at: [1_750_000_000_000],
            state: ["GENERATING"],
            checked: [80],
            valid: [11],
            rate_per_second: [8],
            generated_tokens: [0],
          },
        },
      },
      misfit(
        "no round",
        { query: "seconds=0" },
        {
          type: "greater_than_equal",
          loc: ["query", "seconds"],
          msg: "Input should be greater than or equal to 1",
          input: 0,
        },
      ),
    ],
  },
  nodeEvents: {
    success: "What happened since the node started, at most the last hundred events.",
    examples: [
      {
        given: "stopped",
        query: "since=0",
        status: 200,
        answer: {
          events: [
            {
              id: 2,
              at: 1_750_000_001_000,
              kind: "round",
              is_bad: false,
              text: "The round of block abc123 (height 100) begins and searches: init/generate",
            },
            {
              id: 3,
              at: 1_750_000_061_000,
              kind: "round",
              is_bad: false,
              text: "The round of block abc123 (height 100) is stopped after 480 nonces, 61 of them valid: stop",
            },
          ],
        },
      },
      misfit(
        "no round",
        { query: "since=-1" },
        {
          type: "greater_than_equal",
          loc: ["query", "since"],
          msg: "Input should be greater than or equal to 0",
          input: -1,
        },
      ),
    ],
  },
};
