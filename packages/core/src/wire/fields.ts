/**
 * The kinds of field that the wire's objects are made of. Their faults bear pydantic's names
 * (`params.type`), for issues.ts. Free of Node.
 */
import { z } from "zod";
import { isRefusedAddress } from "./address.ts";

const MAX_STRING_BYTES = 1024;
/** A list reports at most this many faults: a body of millions must be cheap to refuse. */
export const MAX_ISSUES = 20;
/** Longer lists are refused for their length (413) whatever is in them, so nobody looks for repeats. */
const MAX_SEARCHED_FOR_REPEATS = 65_536;

/** pydantic's words; issues.ts tells an integer's fault from a number's by them. */
export const INTEGER_EXPECTED = "Input should be a valid integer";

/** An integer in [minimum, maximum]; −0 is 0. */
export const integer = (minimum: number, maximum: number = Number.MAX_SAFE_INTEGER) =>
  z
    .int({ error: INTEGER_EXPECTED })
    .min(minimum)
    .max(maximum)
    .overwrite((value) => value + 0);

/** A finite number; −0 is 0. */
export const finite = () => z.number().overwrite((value) => value + 0);

/** 1 to 1,024 bytes of well-formed UTF-8. */
export const text = () =>
  z
    .string()
    .min(1)
    .max(MAX_STRING_BYTES)
    .superRefine((value, context) => {
      if (value.length > MAX_STRING_BYTES) return; // said already; do not walk megabytes
      const bytes = utf8Length(value);
      if (bytes === null) {
        context.addIssue({
          code: "custom",
          params: { type: "string_unicode" },
          message: "Input should be a valid string, unable to parse raw data as a unicode string",
        });
      } else if (bytes > MAX_STRING_BYTES) {
        context.addIssue({
          code: "custom",
          params: { type: "string_too_long" },
          message: `String should have at most ${MAX_STRING_BYTES} bytes`,
        });
      }
    });

/** Bytes of `value` in UTF-8, or null when it holds a lone surrogate and so has no UTF-8 form. */
function utf8Length(value: string): number | null {
  let bytes = 0;
  for (const character of value) {
    const point = character.codePointAt(0) ?? 0;
    if (point >= 0xd800 && point <= 0xdfff) return null;
    bytes += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
  }
  return bytes;
}

/**
 * http or https, without credentials, and no literal address that is never called (docs/protocol.md
 * §4).
 *
 * @param hosts `name` or `name:port` of those that may be called; without it all others
 */
export const callbackUrl = (hosts?: readonly string[]) =>
  text().superRefine((value, context) => {
    const fault = urlFault(value, hosts);
    if (fault) context.addIssue({ code: "custom", ...fault });
  });

/** Whether a list of hosts, `name` or `name:port`, names a URL's. */
export function isNamedHost(url: URL, hosts: readonly string[]): boolean {
  return hosts.includes(url.hostname) || hosts.includes(url.host);
}

function urlFault(
  value: string,
  hosts: readonly string[] | undefined,
): { params: { type: string }; message: string } | null {
  let url: URL;
  try {
    url = new URL(value);
  } catch {
    return { params: { type: "url_parsing" }, message: "Input should be a valid URL" };
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    return { params: { type: "url_scheme" }, message: "URL scheme should be 'http' or 'https'" };
  }
  if (url.username !== "" || url.password !== "") {
    return {
      params: { type: "value_error" },
      message: "Value error, credentials in an address are not sent: put a token into its query",
    };
  }
  if (isRefusedAddress(url.hostname)) {
    return {
      params: { type: "value_error" },
      message: "Value error, this address is never called",
    };
  }
  if (hosts && !isNamedHost(url, hosts)) {
    return {
      params: { type: "value_error" },
      message: "Value error, this node calls no such host",
    };
  }
  return null;
}

/**
 * A list of numbers checked in one plain loop. zod's own array makes an object for each item and
 * reports each wrong one; a hostile body of five million items must cost next to nothing.
 */
export function numberList(options: {
  item: { type: "integer"; minimum: number; maximum: number } | { type: "number" };
  unique?: boolean;
}) {
  const { item, unique = false } = options;
  return z
    .custom<number[]>()
    .superRefine((value: unknown, context) => {
      const refuse = (type: string, message: string, path: number[] = []) =>
        context.addIssue({ code: "custom", params: { type }, message, path, continue: false });
      if (value === undefined) return refuse("missing", "Field required");
      if (!Array.isArray(value)) return refuse("list_type", "Input should be a valid list");
      let faults = 0;
      for (let i = 0; i < value.length && faults < MAX_ISSUES; i++) {
        const fault = itemFault(value[i], item);
        if (fault) {
          refuse(fault.type, fault.message, [i]);
          faults++;
        }
      }
      if (faults > 0 || !unique || value.length > MAX_SEARCHED_FOR_REPEATS) return;
      const seen = new Set<number>();
      for (let i = 0; i < value.length && faults < MAX_ISSUES; i++) {
        if (seen.has(value[i])) {
          refuse("value_error", `Value error, ${value[i]} is given twice`, [i]);
          faults++;
        }
        seen.add(value[i]);
      }
    })
    .overwrite((values) =>
      values.some((value) => Object.is(value, -0)) ? values.map((value) => value + 0) : values,
    )
    .meta({ type: "array", items: item });
}

function itemFault(
  value: unknown,
  item: { type: string; minimum?: number; maximum?: number },
): { type: string; message: string } | null {
  const isInteger = item.type === "integer";
  if (typeof value !== "number") {
    return isInteger
      ? { type: "int_type", message: INTEGER_EXPECTED }
      : { type: "float_type", message: "Input should be a valid number" };
  }
  if (!Number.isFinite(value)) {
    return { type: "finite_number", message: "Input should be a finite number" };
  }
  if (isInteger && !Number.isInteger(value)) {
    return {
      type: "int_from_float",
      message: `${INTEGER_EXPECTED}, got a number with a fractional part`,
    };
  }
  if (item.minimum !== undefined && value < item.minimum) {
    return {
      type: "greater_than_equal",
      message: `Input should be greater than or equal to ${item.minimum}`,
    };
  }
  if (item.maximum !== undefined && value > item.maximum) {
    return {
      type: "less_than_equal",
      message: `Input should be less than or equal to ${item.maximum}`,
    };
  }
  return null;
}
