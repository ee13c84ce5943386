/** The short form of what befalls a machine: each fault ends as soon as it has been seen. */

import { execFile, spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { skipped } from "@proofmill/core/testing";
import { expect, test } from "vitest";

const SCRIPT = fileURLToPath(new URL("faults.mjs", import.meta.url));
/** Its disks are mounted in a namespace of its own, which not every machine grants. */
const canMount = spawnSync("unshare", ["--map-root-user", "--mount", "true"]).status === 0;
const cannotMount = canMount ? null : "no disk may be mounted here";

test.skipIf(skipped(cannotMount))(
  "full disks, a clock that is set and a receiver that takes little: every find comes once",
  async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [SCRIPT, "0"]);
    const { broken, ...seen } = JSON.parse(stdout);
    // How late an answer may be is the full form's to say, on a quiet machine.
    expect(broken.filter((promise: string) => promise !== "/health is late")).toEqual([]);
    expect(seen).toMatchObject({
      data_disk_full: { health: { http_status: 503, status: "unavailable" }, init: 503 },
      receiver: { pending_nonces: 0, given_up_nonces: 0 },
      ...{ missing: 0, repeated: 0, unfound: 0 },
    });
    expect(seen.rounds).toHaveLength(4);
    expect(seen.found).toBeGreaterThan(1000);
  },
  180_000,
);
