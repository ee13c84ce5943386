/** The tables, as the versions of proofmill have made them. */
import type { Connection } from "./connection.ts";
import { DataFolderError, RESTORE } from "./faults.ts";

/**
 * What makes a database of version n + 1 from one of version n; a new one climbs all of them. What
 * stands here has been used and is not changed any more: a new version adds a rung.
 *
 * A round's finds are due in their order, so `delivered` tells all: those before it are acknowledged
 * or given up. Verdicts are due as they came.
 */
const MIGRATIONS = [
  `
  CREATE TABLE rounds (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    round_id TEXT NOT NULL UNIQUE,
    config TEXT NOT NULL,
    callback_url TEXT,
    position INTEGER NOT NULL DEFAULT 0,
    total_nonfinite INTEGER NOT NULL DEFAULT 0,
    elapsed_seconds REAL NOT NULL DEFAULT 0,
    generating_seconds REAL NOT NULL DEFAULT 0,
    found INTEGER NOT NULL DEFAULT 0,
    delivered INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  CREATE TABLE finds (
    round INTEGER NOT NULL REFERENCES rounds (number),
    place INTEGER NOT NULL,
    nonce INTEGER NOT NULL,
    distance REAL NOT NULL,
    arithmetic INTEGER NOT NULL REFERENCES arithmetics (id),
    found_at INTEGER NOT NULL,
    PRIMARY KEY (round, place)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE arithmetics (id INTEGER PRIMARY KEY, tag TEXT NOT NULL UNIQUE) STRICT;
  CREATE TABLE verdicts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    callback_url TEXT NOT NULL,
    body TEXT NOT NULL,
    judged_at INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX rounds_due ON rounds (callback_url, number) WHERE delivered < found;
  CREATE INDEX verdicts_due ON verdicts (callback_url, id);
`,
  // Times were milliseconds since 1970; now they are milliseconds that nodes of this folder were up,
  // which no clock that is set can change. How old a find was nobody can know: it is new again.
  `
  CREATE TABLE uptime (milliseconds INTEGER NOT NULL) STRICT;
  INSERT INTO uptime VALUES (0);
  UPDATE finds SET found_at = 0;
  UPDATE verdicts SET judged_at = 0;
`,
  // All rounds proved distances; now each names what it proves, and what is kept of a find is a number
  // or a text, whichever that scheme likes.
  `
  ALTER TABLE rounds ADD COLUMN scheme TEXT NOT NULL DEFAULT 'distance';
  CREATE TABLE records (
    round INTEGER NOT NULL REFERENCES rounds (number),
    place INTEGER NOT NULL,
    nonce INTEGER NOT NULL,
    record ANY NOT NULL,
    arithmetic INTEGER NOT NULL REFERENCES arithmetics (id),
    found_at INTEGER NOT NULL,
    PRIMARY KEY (round, place)
  ) STRICT, WITHOUT ROWID;
  INSERT INTO records SELECT round, place, nonce, distance, arithmetic, found_at FROM finds;
  DROP TABLE finds;
  ALTER TABLE records RENAME TO finds;
`,
  // With what a round is searched, as JSON; NULL where no search is meant to go on. Until now no search
  // went on by itself.
  `
  ALTER TABLE rounds ADD COLUMN searched_with TEXT;
`,
  // Beside verdicts stands what jobs have computed: \`kind\` is the path that it goes to, and \`scheme\`
  // says how long a receiver that refuses it is asked again.
  `
  ALTER TABLE verdicts ADD COLUMN scheme TEXT NOT NULL DEFAULT 'distance';
  ALTER TABLE verdicts ADD COLUMN kind TEXT NOT NULL DEFAULT 'validated';
`,
  // Jobs that nobody waits for, as they were asked, until they have ended: they outlive the node's process.
  `
  CREATE TABLE jobs (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    body TEXT NOT NULL
  ) STRICT;
`,
];

/**
 * Makes the database one of the present version, all of it or not at all.
 *
 * @param mustExist whether one without tables is refused, and not begun
 * @throws DataFolderError when a later version wrote it, or another program
 */
export function migrate(connection: Connection, mustExist: boolean): void {
  const { user_version: version } = connection.get<{ user_version: number }>(
    "PRAGMA user_version",
  ) ?? { user_version: 0 };
  if (version > MIGRATIONS.length) throw new DataFolderError("a newer proofmill wrote it");
  if (version === MIGRATIONS.length) return;
  const isNew = () => connection.get("SELECT 1 FROM sqlite_schema LIMIT 1") === undefined;
  if (version === 0 && (mustExist || !isNew())) {
    throw new DataFolderError(`${connection.file} is no database of proofmill`, RESTORE);
  }
  connection.transaction(() => {
    for (const migration of MIGRATIONS.slice(version)) connection.execute(migration);
    connection.execute(`PRAGMA user_version = ${MIGRATIONS.length}`);
  });
}
