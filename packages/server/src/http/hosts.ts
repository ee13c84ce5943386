/**
 * Names under which a node answers. Who owns a name can make it lead to this node (DNS rebinding):
 * to a browser the node's answers then belong to that name's pages, which read what they like.
 */
import { isIP } from "node:net";
import { isNamedHost } from "@proofmill/core";
import type { FastifyReply, FastifyRequest } from "fastify";

/** Zones that nobody can own. Kubernetes' svc.cluster.local lies in the first. */
const LOCAL_ZONES = /\.(local|internal|localhost)$/;

/**
 * A hook that refuses requests for hosts that somebody else may own: all but IP addresses, names
 * without a dot, names in local zones, and those that `--allow-host` names.
 *
 * @param allowed `name` or `name:port`
 */
export function hostGuard(allowed: readonly string[]) {
  let last: string | null = null; // the host that passed last: most requests name the same one
  const passes = (host: string) => {
    if (host === last) return true;
    const isPassed = isOurs(host, allowed);
    if (isPassed) last = host;
    return isPassed;
  };
  return (request: FastifyRequest, reply: FastifyReply): FastifyReply | null => {
    if (hostsOf(request).every(passes)) return null;
    return reply.code(403).send({
      detail: "Host not allowed: this node answers to the hosts that --allow-host names",
    });
  };
}

/** Every host that a request asks for: its Host headers, and its target's where that has one. */
function hostsOf({ raw }: FastifyRequest): string[] {
  const named = raw.rawHeaders.filter((_, i, all) => i % 2 && /^host$/i.test(all[i - 1] ?? ""));
  const [, target] = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)/i.exec(raw.url ?? "") ?? [];
  return target === undefined ? named : [...named, target];
}

function isOurs(host: string, allowed: readonly string[]): boolean {
  if (host === "") return true; // no browser leaves it out
  // A name with a dot at its end is the same name, an address with a zone the same address.
  const url = parse(host.replace(/\.(?=(:\d*)?$)|%[^\]]*(?=\])/, ""));
  if (!url) return false;
  const name = url.hostname;
  return (
    isIP(name.replace(/^\[|\]$/g, "")) !== 0 ||
    !name.includes(".") ||
    LOCAL_ZONES.test(name) ||
    isNamedHost(url, allowed)
  );
}

/** As a browser reads it: in lower case, with addresses in their usual form. */
function parse(host: string): URL | null {
  if (/[\s/?#@\\]/.test(host) || !URL.canParse(`http://${host}`)) return null;
  return new URL(`http://${host}`);
}
