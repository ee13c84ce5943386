/** Jobs that have not ended, as they were asked. */
import type { KeptJob } from "@proofmill/core";
import type { Connection } from "./connection.ts";

export class KeptJobs {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  keep({ id, body }: KeptJob): void {
    this.#connection.run("INSERT INTO jobs (id, body) VALUES (?, ?)", id, body);
  }

  forget(id: string): void {
    this.#connection.run("DELETE FROM jobs WHERE id = ?", id);
  }

  /** In the order in which they came. */
  all(): KeptJob[] {
    return this.#connection.all<KeptJob>("SELECT id, body FROM jobs ORDER BY number");
  }
}
