/** Finds, before anybody stumbles over it, what of a database cannot be read. */
import { isUtf8 } from "node:buffer";
import type { Connection } from "./connection.ts";
import { DataFolderError, RESTORE } from "./faults.ts";

/** Tables whose rows are numbered by SQLite, and by which column. */
const NUMBERED = { rounds: "number", verdicts: "id" };

/** What statements name: a column that is missing would be found by the first find, or verdict. */
const COLUMNS = {
  rounds: `number, round_id, scheme, config, callback_url, position, total_nonfinite, elapsed_seconds,
    generating_seconds, found, delivered, searched_with`,
  finds: "round, place, nonce, record, arithmetic, found_at",
  arithmetics: "id, tag",
  verdicts: "id, callback_url, body, judged_at, scheme, kind",
  uptime: "milliseconds",
  jobs: "number, id, body",
};

/**
 * Looks for every column, at every text and at the rows' numbers. SQLite keeps any bytes as a text, and what reads it
 * ends the process where they are not UTF-8.
 *
 * @throws DataFolderError that names the table and the column; SQLite's error where one is missing
 */
export function assertReadable(connection: Connection): void {
  const damaged = (detail: string) =>
    new DataFolderError(`${connection.file} is damaged (${detail})`, RESTORE);
  for (const [table, columns] of Object.entries(COLUMNS)) {
    connection.get(`SELECT ${columns} FROM ${table} LIMIT 0`); // no text is read yet
  }
  for (const { table, column } of textColumns(connection)) {
    const texts = connection.each<{ bytes: Uint8Array }>(
      `SELECT CAST(${column} AS BLOB) AS bytes FROM ${table} WHERE typeof(${column}) = 'text'`,
    );
    for (const { bytes } of texts) {
      if (!isUtf8(bytes)) throw damaged(`a text in ${table}.${column} is not UTF-8`);
    }
  }
  if (connection.get("SELECT 1 FROM verdicts WHERE NOT json_valid(body) LIMIT 1")) {
    throw damaged("a verdict is no JSON");
  }
  for (const [table, column] of Object.entries(NUMBERED)) {
    const { most } = connection.get<{ most: number }>(
      `SELECT max((SELECT coalesce(max(${column}), 0) FROM ${table}),
       (SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = '${table}')) AS most`,
    ) ?? { most: 0 };
    // There would be no number for the next row, which SQLite calls a full disk.
    if (!Number.isSafeInteger(most)) throw damaged(`${table} are numbered up to ${most}`);
  }
}

/** Whatever the tables are. */
function textColumns(connection: Connection): { table: string; column: string }[] {
  return connection.all(
    `SELECT tables.name AS "table", columns.name AS "column"
     FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS columns
     WHERE tables.type = 'table' AND columns.type IN ('TEXT', 'ANY')`,
  );
}
