/** The regularised incomplete beta function, from which all statistics of this package come. */
import { createRequire } from "node:module";

type Betainc = typeof import("@stdlib/math-base-special-betainc");

const require = createRequire(import.meta.url);
/** Loaded at its first use: its hundreds of files would take a quarter of a second at start. */
let betainc: Betainc | undefined;

/** I_x(a, b) for x in [0, 1] and a, b > 0. */
export function incompleteBeta(x: number, a: number, b: number): number {
  betainc ??= require("@stdlib/math-base-special-betainc") as Betainc;
  return betainc(x, a, b);
}

/**
 * P(X ≥ k) for X ~ Binomial(n, p), as I_p(k, n − k + 1).
 *
 * @param k 0 … n
 * @param n ≥ 0
 * @param p in [0, 1]
 */
export function binomialTail(k: number, n: number, p: number): number {
  if (k === 0) return 1;
  return incompleteBeta(p, k, n - k + 1);
}

/** The x for which I_x(a, b) = p, by bisection: within 1e-12. */
export function betaQuantile(p: number, a: number, b: number): number {
  let [low, high] = [0, 1];
  while (high - low > 1e-12) {
    const middle = (low + high) / 2;
    if (incompleteBeta(middle, a, b) < p) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}
