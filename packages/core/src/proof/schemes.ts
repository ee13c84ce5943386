/** The proofs that there are. A new one stands in a folder of its own beside `distance/`, and here. */
import { distance } from "./distance/scheme.ts";
import type { Schemes } from "./scheme.ts";

export const SCHEMES: Schemes = new Map([[distance.name, distance]]);
