/** What keys allow. Free of Node. */

/**
 * What a key may allow: `admin` everything, `validate` to have proofs judged, `read` to ask and to
 * follow, `inference` what lies under /v1.
 */
export const SCOPES = ["admin", "validate", "read", "inference"] as const;
export type Scope = (typeof SCOPES)[number];
