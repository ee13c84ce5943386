/**
 * Databases that older versions wrote. `test-data/version-N.db` is as version N left it, and
 * `version-N.json` what version N itself said of it: its Status and all that was due.
 */
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { PocService, type Status } from "@proofmill/core";
import { createFakeRunner } from "@proofmill/core/testing";
import Sqlite from "libsql";
import { expect, onTestFinished, test } from "vitest";
import { roundIdAfter } from "../round-id.ts";
import { SqliteStore } from "./sqlite.ts";

const MINUTE = 60_000;
const wanted = { callback_url: "http://aggregator:9000/pow", after: 0, maxNonces: 100 };

const testData = (name: string) => fileURLToPath(new URL(`test-data/${name}`, import.meta.url));

interface Said {
  status: Status;
  pending: { nonces: number; verdicts: number };
  due: unknown[];
}

/** Opens a store and a service over it, as a node does. */
async function open(folder: string) {
  const store = await SqliteStore.open({ folder });
  const service = await PocService.open({
    ...{ enabled: true, store, newRoundId: roundIdAfter },
    defaults: { batch_size: 32, seq_len: 256 },
  });
  const end = async () => {
    await service.close();
    await store.close();
  };
  onTestFinished(end);
  return { store, service, end };
}

/** Everything that is due, in the order in which it is sent. */
async function drain(store: SqliteStore): Promise<unknown[]> {
  const bodies: unknown[] = [];
  for (const kind of ["generated", "validated"] as const) {
    for (;;) {
      const due = await store.next({ ...wanted, kind });
      if (!due) break;
      bodies.push(JSON.parse(due.body));
      await store.acknowledge(due);
    }
  }
  return bodies;
}

test.each([1, 2, 3, 4, 5])(
  "of version %i: its rounds and its outbox are whole, and go on",
  async (version) => {
    const said = JSON.parse(readFileSync(testData(`version-${version}.json`), "utf8")) as Said;
    const folder = mkdtempSync(join(tmpdir(), "proofmill-"));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    copyFileSync(testData(`version-${version}.db`), join(folder, "proofmill.db"));
    const first = await open(folder);
    expect(first.store.notices).toEqual([]);
    expect(first.service.status()).toEqual(said.status);
    expect(await first.store.giveUp(MINUTE)).toEqual({ nonces: 0, verdicts: 0 }); // nothing is too old
    await first.end();
    // It is of the present version now, and is opened as it is.
    const { store, service, end } = await open(folder);
    expect(service.status()).toEqual(said.status);
    expect(await store.pending()).toEqual(said.pending);
    expect(await drain(store)).toEqual(said.due);
    service.attach(createFakeRunner());
    await service.phaseGenerate();
    await new Promise<void>((resolve) => {
      service.on(
        "change",
        () => service.status().total_checked > said.status.total_checked && resolve(),
      );
    });
    await end();
    const raw = new Sqlite(join(folder, "proofmill.db"));
    expect(raw.prepare("PRAGMA user_version").get()).toMatchObject({ user_version: 6 });
    raw.close();
  },
);
