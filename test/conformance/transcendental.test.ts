/** The project's own ln, sin and cos: within 2 ulp (docs/protocol.md §1, "same inputs everywhere"). */
import { addon } from "@proofmill/native/binding";
import { expect, test } from "vitest";

const POINTS = 1 << 20;
const TWO_PI = Math.fround(2 * Math.PI);

test("ln over [1e-10, 1]", () => {
  const [first, last] = [bits(1e-10), bits(1)];
  const stride = (last - first) / POINTS;
  // Even steps in bits are even shares of every binade; near 1 the logarithm has its zero.
  const x = Float32Array.from({ length: POINTS + 1 }, (_, i) => float(first + i * stride));
  const nearOne = Float32Array.from({ length: 4096 }, (_, i) => float(last - i));
  expect(x[0]).toBe(Math.fround(1e-10));
  expect(x.at(-1)).toBe(1);
  expect(worstUlp(addon.ln(x), x, Math.log)).toBeLessThanOrEqual(2);
  expect(worstUlp(addon.ln(nearOne), nearOne, Math.log)).toBeLessThanOrEqual(2);
});

test.each(["sin", "cos"] as const)("%s over [0, 2π]", (name) => {
  const turns = Float32Array.from({ length: POINTS + 1 }, (_, i) => angle(i / POINTS));
  expect(turns.at(-1)).toBe(TWO_PI);
  expect(worstUlp(addon[name](turns), turns, Math[name])).toBeLessThanOrEqual(2);

  // Around the zeros of both, where an ulp is least.
  for (const quarter of [1, 2, 3, 4]) {
    const centre = bits((quarter * Math.PI) / 2);
    const x = Float32Array.from({ length: 8193 }, (_, i) => float(centre - 4096 + i)).filter(
      (angle) => angle <= TWO_PI,
    );
    expect(worstUlp(addon[name](x), x, Math[name])).toBeLessThanOrEqual(2);
  }

  // The least uniforms: h · 2⁻³² for small h, zero included.
  const small = Float32Array.from({ length: 65536 }, (_, h) => angle(h * 2 ** -32));
  expect(worstUlp(addon[name](small), small, Math[name])).toBeLessThanOrEqual(2);
});

/** docs/protocol.md §1, step 4. */
function angle(uniform: number): number {
  return Math.fround(TWO_PI * Math.fround(uniform));
}

/** The greatest error in units of the last place of the true value. */
function worstUlp(y: Float32Array, x: Float32Array, exact: (x: number) => number): number {
  let worst = 0;
  for (let i = 0; i < x.length; i++) {
    const truth = exact(x[i] as number);
    worst = Math.max(worst, Math.abs((y[i] as number) - truth) / ulp(truth));
  }
  return worst;
}

/** Distance of float32 neighbours at a value's magnitude. */
function ulp(value: number): number {
  const exponent = (bits(value) >>> 23) & 0xff;
  return 2 ** (Math.max(exponent, 1) - 150);
}

function bits(value: number): number {
  view.setFloat32(0, value);
  return view.getUint32(0);
}

function float(bits: number): number {
  view.setUint32(0, bits);
  return view.getFloat32(0);
}

const view = new DataView(new ArrayBuffer(4));
