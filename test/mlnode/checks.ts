/** What a case says of a JSON document, and whether that is so. */

export interface Check {
  /** A JSON pointer; `*` stands for every element of a list. */
  path: string;
  op: string;
  value?: unknown;
}

export interface Known {
  captured: Record<string, unknown>;
  /** Nonces that were delivered so far. */
  delivered: ReadonlySet<number>;
}

/** The values at a pointer: one, or with `*` as many as there are. */
function valuesAt(json: unknown, path: string): unknown[] {
  let values = [json];
  for (const key of path.split("/").filter((each) => each !== "")) {
    values = values.flatMap((value) => {
      if (typeof value !== "object" || value === null) return [];
      if (key === "*") return Array.isArray(value) ? value : [];
      return Object.hasOwn(value, key) ? [(value as Record<string, unknown>)[key]] : [];
    });
  }
  return values;
}

export function resolve(json: unknown, path: string): unknown {
  return valuesAt(json, path)[0];
}

function kind(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return Number.isInteger(value) ? "integer" : typeof value;
}

/** Objects with equal fields are equal, whatever the order of these. */
function isEqual(one: unknown, other: unknown): boolean {
  if (typeof one !== "object" || typeof other !== "object" || !one || !other) return one === other;
  const keys = Object.keys(one);
  return (
    keys.length === Object.keys(other).length &&
    keys.every((key) => isEqual(one[key as never], other[key as never]))
  );
}

/** Of `k` half-precision numbers in base64; NaN where there are others, or one is not finite. */
function norm(text: unknown, k: number): number {
  const bytes = Buffer.from(String(text), "base64");
  if (bytes.length !== 2 * k) return Number.NaN;
  const numbers = Array.from({ length: k }, (_, i) => half(bytes.readUInt16LE(2 * i)));
  return Math.hypot(...numbers);
}

function half(bits: number): number {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return Number.NaN;
  const value = exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25);
  return bits & 0x8000 ? -value : value;
}

function vectors(list: unknown): Map<number, string> {
  return new Map(
    (list as { nonce: number; vector_b64: string }[]).map((one) => [one.nonce, one.vector_b64]),
  );
}

type Judge = (values: unknown[], wanted: never, known: Known) => boolean;

const JUDGES: Readonly<Record<string, Judge>> = {
  eq: ([value], wanted) => isEqual(value, wanted),
  type: ([value], wanted) =>
    kind(value) === wanted || (wanted === "number" && typeof value === "number"),
  exists: () => true,
  in: ([value], wanted: unknown[]) => wanted.includes(value),
  contains: ([value], wanted) =>
    (typeof value === "string" ? value : JSON.stringify(value)).includes(wanted),
  matches: ([value], wanted) => typeof value === "string" && new RegExp(wanted).test(value),
  length: ([value], wanted) => (value as unknown[]).length === wanted,
  min_length: ([value], wanted) => (value as unknown[]).length >= wanted,
  gt: ([value], wanted) => Number(value) > wanted,
  approx: ([value], wanted) => Math.abs(Number(value) - wanted) <= 0.02 * Math.abs(wanted),
  mod: (values, [divisor, rest]: [number, number]) =>
    values.every((value) => Number(value) % divisor === rest),
  unique: (values) => new Set(values).size === values.length,
  fp16_unit: (values, k) => values.every((value) => Math.abs(norm(value, k) - 1) < 2e-3),
  all_type: (values, kinds: string[]) => values.every((value) => kinds.includes(kind(value))),
  eq_captured_by_nonce: ([value], name, { captured }) => {
    const found = vectors(value);
    return [...vectors(captured[name])].every(([nonce, vector]) => found.get(nonce) === vector);
  },
  max_below_times_delivered: (values, times, { delivered }) =>
    Math.max(...values.map(Number)) < times * Math.max(1, delivered.size),
};

/** What is wrong, in a line; null where nothing is. */
export function fault(json: unknown, { path, op, value }: Check, known: Known): string | null {
  const values = valuesAt(json, path);
  const said = `${path} ${op} ${JSON.stringify(value)}: ${JSON.stringify(values).slice(0, 200)}`;
  if (op === "absent") return values.length === 0 ? null : said;
  if (values.length === 0 && !path.includes("*")) return `${said}, which is absent`;
  const judge = JUDGES[op];
  if (!judge) throw new Error(`unknown check ${op}`);
  return judge(values, value as never, known) ? null : said;
}
