/** Paths as a broker may write them: below the network's version, and below a path of the operator's. */

export interface Prefixes {
  /** Versions that the node answers under; null: under all. */
  versions: readonly string[] | null;
  /** E.g. `/node-1`; empty: none. */
  basePath: string;
}

/** What may stand behind a prefix. */
const BEHIND = /^\/(api\/v1\/|v1\/|(health|livez|readyz)$)/;
/** First segments of paths of ours, which are no versions. */
const OURS = new Set(["api", "v1", "trpc"]);

/**
 * What takes a version's segment, and then the base path, off a request's target. Both may be absent.
 * Whatever else comes is left as it is, to be answered 404.
 */
export function prefixStripper({ versions, basePath }: Prefixes): (target: string) => string {
  const withoutBase = (path: string) =>
    basePath !== "" && path.startsWith(`${basePath}/`) ? path.slice(basePath.length) : path;
  return (target) => {
    const path = target.split(/[?#]/, 1)[0] ?? "";
    const query = target.slice(path.length);
    if (BEHIND.test(path)) return target;
    const bare = withoutBase(path);
    if (BEHIND.test(bare)) return bare + query;
    const [, first = "", rest = ""] = /^\/([^/]+)(\/.*)$/.exec(path) ?? [];
    if (OURS.has(first) || (versions && !versions.includes(first))) return target;
    const behind = withoutBase(rest);
    return BEHIND.test(behind) ? behind + query : target;
  };
}
