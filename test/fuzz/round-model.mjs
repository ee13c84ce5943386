// What a node must be in after a command: §2 of docs/protocol.md and of docs/protocol-v2.md once more, and
// docs/mlnode.md's `up` and `down`, written from the pages and not from the code, so that one can be held
// against the other.

/**
 * @typedef {{ kind: "init" | "init/generate" | "init/validate", body: object, isValid: boolean }
 *   | { kind: "phase/generate" | "phase/validate" | "stop" | "up" | "down" | "chat" }
 *   | { kind: "begin" | "job", body: object, isValid: boolean }} Command `begin` and `job` are of artifacts
 * @typedef {"rest" | "trpc" | "mlnode"} Door
 * @typedef {{ state: string, round: object | null, number: number, isDown: boolean }} Expected a node
 *   without a round has `round` null; `number` counts the rounds that have begun; `isDown`: the broker has
 *   stopped the model
 */

/** A node that has just been started on an empty folder. */
export const FRESH = { state: "IDLE", round: null, number: 0, isDown: false };

/**
 * One command.
 *
 * @param {Expected} before
 * @param {Command} command
 * @param {Door} door
 * @returns {{ status: number, after: Expected }} the answer's status, and what the node is in then
 */
export function step(before, command, door = "rest") {
  const refuse = (status) => ({ status, after: before });
  const stay = (state) => ({ status: 200, after: { ...before, state } });
  const { kind } = command;
  if (kind === "stop")
    return door === "mlnode" && before.isDown ? stay(before.state) : stay("STOPPED");
  if (kind === "down") return { status: 200, after: { ...before, state: "STOPPED", isDown: true } };
  if (kind === "up") {
    return before.isDown ? { status: 200, after: { ...before, isDown: false } } : refuse(409);
  }
  if (kind === "chat") {
    const isOpen = !before.isDown && ["IDLE", "STOPPED"].includes(before.state);
    return isOpen ? stay(before.state) : refuse(503);
  }
  if (kind === "begin" || kind === "job") return stepOfArtifacts(before, command, door);
  if (before.isDown) return refuse(503);
  const own = before.round?.proof === "distance" ? before.round : null;
  if (kind === "phase/validate") return own ? stay("VALIDATING") : refuse(400);
  if (kind === "phase/generate") return own && hasPlace(own) ? stay("GENERATING") : refuse(400);
  if (!command.isValid) return refuse(422);
  const round = meaning(command.body);
  if (kind === "init/generate" && !hasPlace(round)) return refuse(400);
  const begin = (state) => beginning(before, round, state);
  const isSame = before.round !== null && JSON.stringify(before.round) === JSON.stringify(round);
  if (before.state === "GENERATING") {
    if (kind === "init") return refuse(400);
    if (isSame) return stay(kind === "init/generate" ? "GENERATING" : "VALIDATING");
    if (!own) return refuse(400);
    const { block_hash, block_height } = before.round;
    if (block_hash === round.block_hash && block_height === round.block_height) return refuse(400);
  }
  if (before.state === "VALIDATING" && kind === "init/validate" && isSame)
    return stay("VALIDATING");
  return begin(
    { init: "IDLE", "init/generate": "GENERATING", "init/validate": "VALIDATING" }[kind],
  );
}

function stepOfArtifacts(before, { kind, body, isValid }, door) {
  const refuse = (status) => ({ status, after: before });
  // The service in front of engines tells of their refusals to begin by a status of its own.
  const behind = (status) => refuse(door === "mlnode" && kind === "begin" ? 502 : status);
  if (!isValid) return refuse(422);
  if (before.isDown && door === "mlnode") return refuse(503);
  if (body.params.model !== MODEL) return behind(409);
  if (before.isDown) return refuse(503);
  if (kind === "job") return { status: 200, after: before };
  if (before.state === "GENERATING") return behind(409);
  const { batch_size, ...rest } = body;
  const round = { proof: "artifact", ...rest };
  if (JSON.stringify(round) === JSON.stringify(before.round)) {
    return { status: 200, after: { ...before, state: "GENERATING" } };
  }
  return beginning(before, round, "GENERATING");
}

const beginning = (before, round, state) => ({
  status: 200,
  after: { ...before, state, round, number: before.number + 1 },
});

/** A body with its defaults and newer names: what two bodies are compared by. */
function meaning(body) {
  return {
    proof: "distance",
    ...{ block_hash: body.block_hash, block_height: body.block_height },
    ...{ public_key: body.public_key, r_target: body.r_target },
    ...{ node_id: body.node_id ?? -1, node_count: body.node_count ?? -1 },
    seq_len: body.seq_len ?? body.params?.seq_len ?? DEFAULT_SEQ_LEN,
  };
}

/** As the node under test is started. */
export const DEFAULT_SEQ_LEN = 4;
/** The name of its model. */
export const MODEL = "proofmill-demo";

const hasPlace = ({ node_id, node_count }) => node_id !== -1 && node_count !== -1;
