// Values that nobody expects, and objects of them: what requests of every kind are drawn from.
import fc from "fast-check";

export const text = fc.oneof(
  fc.string({ maxLength: 40 }),
  fc.string({ unit: "binary", maxLength: 40 }),
  fc.constantFrom(
    "",
    "null",
    "\u0000",
    "\ud800",
    "__proto__",
    "constructor",
    "1e999",
    "💥".repeat(300),
  ),
);
const number = fc.oneof(
  fc.integer(),
  fc.double(),
  fc.constantFrom(-1, 0, -0, 0.5, 2 ** 31, 2 ** 53, -(2 ** 63), 1e308, Number.MAX_SAFE_INTEGER),
);
export const value = fc.oneof(
  { weight: 2, arbitrary: fc.constantFrom(null, true, false, [], {}, [[]], [null]) },
  { weight: 3, arbitrary: number },
  { weight: 3, arbitrary: text },
  { weight: 2, arbitrary: fc.jsonValue({ maxDepth: 3 }) },
);

/** As JSON, also what JSON has no word for. */
export const asJson = (each) => JSON.stringify(each) ?? "null";
