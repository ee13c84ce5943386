/** What callers ask for beside a path. Free of Node. */
import type { z } from "zod";
import { parseWith } from "./issues.ts";

/**
 * Reads a query. Its values may be strings: those that are written as integers become numbers.
 *
 * @throws PocError INVALID_BODY with `loc` `["query", …]`
 */
export function parseQuery<T>(schema: z.ZodType<T>, query: unknown): T {
  if (typeof query !== "object" || query === null) return parseWith(schema, query, "query");
  const values = Object.entries(query).map(([key, value]) => [
    key,
    typeof value === "string" && /^-?\d+$/.test(value) ? Number(value) : value,
  ]);
  return parseWith(schema, Object.fromEntries(values), "query");
}
