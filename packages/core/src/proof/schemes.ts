/** The proofs that there are. A new one stands in a folder of its own beside `distance/`, and here. */
import { artifact } from "./artifact/scheme.ts";
import { distance } from "./distance/scheme.ts";
import type { ProofScheme, Schemes } from "./scheme.ts";

export const SCHEMES: Schemes = new Map<string, ProofScheme>([
  [distance.name, distance],
  [artifact.name, artifact],
]);
