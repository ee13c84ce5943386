// A model's files as nobody wrote them: what is changed in a copy of a golden model, drawn by fast-check.
import fc from "fast-check";

const value = fc.oneof(
  fc.constantFrom(null, true, {}, [], "", "BF16", "F64", "model", "../outside.safetensors"),
  fc.constantFrom(0, -1, 0.5, 1, 2, 3, 7, 64, 2 ** 20, 2 ** 31, 2 ** 32, 2 ** 53, 1e300, -1e300),
  fc.integer(),
  fc.double(),
  fc.array(fc.constantFrom(0, 1, -1, 2, 64, 2 ** 31, 2 ** 53, "x", null), { maxLength: 4 }),
  fc.jsonValue({ maxDepth: 2 }),
);

/** One place of a JSON document, by numbers that are taken modulo what there is. */
const place = fc.array(fc.nat(1000), { minLength: 1, maxLength: 3 });

const inJson = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("set"), place, value }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("remove"), place }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("add"),
      name: fc.constantFrom("__proto__", "constructor", "quantization_config", "rope_scaling", "x"),
      value,
    }),
  },
);
const inBytes = fc.oneof(
  fc.record({ kind: fc.constant("flip"), at: fc.nat(), bits: fc.integer({ min: 1, max: 255 }) }),
  fc.record({ kind: fc.constant("cut"), at: fc.nat() }),
  fc.record({ kind: fc.constant("append"), bytes: fc.uint8Array({ maxLength: 64 }) }),
  fc.record({
    kind: fc.constant("length"),
    length: fc.constantFrom(
      0n,
      1n,
      8n,
      0x7fffffffn,
      0xffffffffn,
      0x7fffffffffffffffn,
      0xffffffffffffffffn,
    ),
  }),
);

/**
 * Changes of one model: `file` names which of its files, `how` in which manner, JSON documents (a
 * safetensors file's header too) field by field or bytes one by one.
 */
export const changes = fc.array(
  fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({ file: fc.constantFrom("config", "header", "index"), how: inJson }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        file: fc.constantFrom("config", "header", "index", "weights"),
        how: inBytes,
      }),
    },
  ),
  { minLength: 1, maxLength: 3 },
);

/** @returns the text with the change made */
export function changeJson(text, how) {
  let document;
  try {
    document = JSON.parse(text);
  } catch {
    return text; // an earlier change has broken it
  }
  if (document === null || typeof document !== "object") return text;
  if (how.kind === "add") {
    const rest = text.trim().slice(1);
    return `{${JSON.stringify(how.name)}:${JSON.stringify(how.value) ?? "null"}${rest === "}" ? "" : ","}${rest}`;
  }
  let parent = document;
  const names = [...how.place];
  for (;;) {
    const keys = Object.keys(parent);
    if (keys.length === 0) return text;
    const key = keys[names.shift() % keys.length];
    const below = parent[key];
    if (names.length === 0 || below === null || typeof below !== "object") {
      if (how.kind === "remove") delete parent[key];
      else parent[key] = how.value;
      return JSON.stringify(document);
    }
    parent = below;
  }
}

/** @returns the bytes with the change made */
export function changeBytes(bytes, how) {
  switch (how.kind) {
    case "flip": {
      const changed = Buffer.from(bytes);
      if (changed.length > 0) changed[how.at % changed.length] ^= how.bits;
      return changed;
    }
    case "cut":
      return bytes.subarray(0, how.at % (bytes.length + 1));
    case "append":
      return Buffer.concat([bytes, how.bytes]);
    default: {
      const changed = Buffer.from(bytes);
      if (changed.length >= 8) changed.writeBigUInt64LE(how.length);
      return changed;
    }
  }
}
