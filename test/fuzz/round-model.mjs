// What a node must be in after a command: docs/protocol.md §2 once more, written from the page and not
// from the code, so that one can be held against the other.

/**
 * @typedef {{ kind: "init" | "init/generate" | "init/validate", body: object, isValid: boolean }
 *   | { kind: "phase/generate" | "phase/validate" | "stop" }} Command
 * @typedef {{ state: string, round: object | null, number: number }} Expected a node without a round has
 *   `round` null; `number` counts the rounds that have begun
 */

/** A node that has just been started on an empty folder. */
export const FRESH = { state: "IDLE", round: null, number: 0 };

/**
 * One command.
 *
 * @param {Expected} before
 * @param {Command} command
 * @returns {{ status: number, after: Expected }} the answer's status, and what the node is in then
 */
export function step(before, command) {
  const refuse = (status) => ({ status, after: before });
  const stay = (state) => ({ status: 200, after: { ...before, state } });
  const { kind } = command;
  if (kind === "stop") return stay("STOPPED");
  if (kind === "phase/validate") return before.round ? stay("VALIDATING") : refuse(400);
  if (kind === "phase/generate") {
    return before.round && hasPlace(before.round) ? stay("GENERATING") : refuse(400);
  }
  if (!command.isValid) return refuse(422);
  const round = meaning(command.body);
  if (kind === "init/generate" && !hasPlace(round)) return refuse(400);
  const begin = (state) => ({ status: 200, after: { state, round, number: before.number + 1 } });
  const isSame = before.round !== null && JSON.stringify(before.round) === JSON.stringify(round);
  if (before.state === "GENERATING") {
    if (kind === "init") return refuse(400);
    if (isSame) return stay(kind === "init/generate" ? "GENERATING" : "VALIDATING");
    const { block_hash, block_height } = before.round;
    if (block_hash === round.block_hash && block_height === round.block_height) return refuse(400);
  }
  if (before.state === "VALIDATING" && kind === "init/validate" && isSame)
    return stay("VALIDATING");
  return begin(
    { init: "IDLE", "init/generate": "GENERATING", "init/validate": "VALIDATING" }[kind],
  );
}

/** A body with its defaults and newer names: what two bodies are compared by. */
function meaning(body) {
  return {
    ...{ block_hash: body.block_hash, block_height: body.block_height },
    ...{ public_key: body.public_key, r_target: body.r_target },
    ...{ node_id: body.node_id ?? -1, node_count: body.node_count ?? -1 },
    seq_len: body.seq_len ?? body.params?.seq_len ?? DEFAULT_SEQ_LEN,
  };
}

/** As the node under test is started. */
export const DEFAULT_SEQ_LEN = 4;

const hasPlace = ({ node_id, node_count }) => node_id !== -1 && node_count !== -1;
