/** Which part of a round's lists a caller asks for. */
import { parseWith } from "../wire/issues.ts";
import { StatusPage } from "../wire/schemas.ts";

/**
 * Reads `{ since?, limit? }`. A query's values are strings: those that are written as integers
 * become numbers.
 *
 * @throws PocError INVALID_BODY with `loc` `["query", …]`
 */
export function parsePage(page: unknown): StatusPage {
  if (typeof page !== "object" || page === null) return parseWith(StatusPage, page, "query");
  const values = Object.entries(page).map(([key, value]) => [
    key,
    typeof value === "string" && /^-?\d+$/.test(value) ? Number(value) : value,
  ]);
  return parseWith(StatusPage, Object.fromEntries(values), "query");
}
