/** Names of rounds: ULIDs, which sort by the time at which they were made. */
import { incrementBase32, isValid, ulid } from "ulid";

/**
 * A ULID greater than `last`, so that the later round has the greater id also where the clock was
 * set back, or two rounds begin within a millisecond.
 *
 * @param last the greatest ULID so far, or null
 */
export function roundIdAfter(last: string | null): string {
  const fresh = ulid();
  // What is no ULID can only be damage, and must not keep rounds from beginning.
  return last === null || fresh > last || !isValid(last) ? fresh : incrementBase32(last);
}
