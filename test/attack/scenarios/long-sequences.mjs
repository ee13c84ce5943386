// Rounds of sequences that do not fit into the memory, and of the longest that may, one after another.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROUND } from "../paced-node.mjs";
import { again, post, writeOnly } from "../sockets.mjs";
import { CONTEXT, writeWideModel } from "../wide-model.mjs";

const LONGEST = 16_384; // 2 GiB

const directory = mkdtempSync(join(tmpdir(), "proofmill-wide-"));
process.once("exit", () => rmSync(directory, { recursive: true }));
await writeWideModel(directory);

export const node = {
  state: "STOPPED",
  args: [directory, "--max-model-len", String(LONGEST)],
};
// The others would need the round that the attack replaces.
export const honest =
  "status,status on a connection of its own,page,batch,WebSocket call,documents";

let height = 2;

export const attack = (target) =>
  again({ count: 4, milliseconds: 250 }, (number) => {
    const seq_len = [LONGEST, 131_072, CONTEXT, LONGEST][number];
    const body = { ...ROUND, block_height: height++, seq_len };
    return writeOnly(target, post("/api/v1/pow/init/generate", body));
  });
