/** Artifacts as text: half-precision floats, little-endian, in base64 (docs/protocol-v2.md §1, step 7). */

/** The standard alphabet with its padding. */
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const OTHER_CHARACTERS = /[^A-Za-z0-9+/=]/g;

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** @param values [k] float32 */
export function encodeVector(values: Float32Array): string {
  const bytes = Buffer.alloc(2 * values.length);
  values.forEach((value, i) => {
    bytes.writeUInt16LE(toHalf(value), 2 * i);
  });
  return bytes.toString("base64");
}

/**
 * Characters outside the alphabet are skipped, as the reference does.
 *
 * @returns [k], or null for a text that is not k finite numbers
 */
export function decodeVector(text: string, k: number): Float32Array | null {
  const symbols = text.replace(OTHER_CHARACTERS, "");
  if (!BASE64.test(symbols)) return null;
  const bytes = Buffer.from(symbols, "base64");
  if (bytes.length !== 2 * k) return null;
  const values = Float32Array.from({ length: k }, (_, i) => fromHalf(bytes.readUInt16LE(2 * i)));
  return values.every(Number.isFinite) ? values : null;
}

/** The nearest half-precision number, the even one of two that are as near; past 65,519 infinity. */
function toHalf(value: number): number {
  float[0] = value;
  const [pattern = 0] = bits;
  const sign = (pattern >>> 16) & 0x8000;
  const magnitude = pattern & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00; // NaN
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude < 0x38800000) {
    // Below 2^-14 numbers are multiples of 2^-24. Beside 2^-1 floats have that distance: the sum's
    // rounding is the wanted one.
    return sign | Math.round((Math.fround(Math.abs(value) + 0.5) - 0.5) * 2 ** 24);
  }
  const isOdd = (magnitude >>> 13) & 1;
  return sign | ((magnitude - 0x38000000 + 0xfff + isOdd) >>> 13);
}

function fromHalf(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >>> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}
