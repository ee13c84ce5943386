/** How a refusal names what a file holds. */
import type { z } from "zod";

/** A value in JSON, at most 100 characters of it. */
export function show(value: unknown): string {
  const text = JSON.stringify(value) ?? "missing";
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}

const MAX_NAMED = 20;

/** Names in quotes, so many of them. */
export function showAll(names: readonly string[]): string {
  const more = names.length > MAX_NAMED ? ` and ${names.length - MAX_NAMED} more` : "";
  return `${names.slice(0, MAX_NAMED).map(show).join(", ")}${more}`;
}

/** @throws RangeError unless an option's value is one of these */
export function refuseUnknown(name: string, value: string, known: readonly string[]): void {
  if (known.includes(value)) return;
  throw new RangeError(`${name} is ${show(value)}, expected one of ${known.join(", ")}`);
}

/** `a.b is <value>, expected …`, of the first thing that is wrong. */
export function firstIssue(error: z.ZodError, json: unknown, prefix?: string): string {
  const issue = error.issues[0];
  const path = issue?.path ?? [];
  const value = path.reduce<unknown>(
    (at, step) => (typeof at === "object" && at !== null ? at[step as never] : undefined),
    json,
  );
  const whole = [...(prefix ? [prefix] : []), ...path].join(".") || "the file";
  const key = whole.length > 100 ? `${whole.slice(0, 100)}…` : whole;
  // zod says "Invalid input: expected number, received string"
  const expected = issue?.message.replace(/^.*?(?=expected )/, "").replace(/, received .*$/, "");
  return `${key} is ${show(value)}, ${expected}`;
}
