/** Pages in a browser use the node only where they may: nobody else's page may command it. */
import type { FastifyReply, FastifyRequest } from "fastify";

/**
 * A hook that refuses what a foreign page sends and what could change something: all but plain GETs,
 * whose answers a browser does not show it anyway. Browsers name the page's `Origin`, programs send
 * none.
 *
 * The node's own pages may use it, whatever host they were asked from: that one has passed the
 * guard of hosts.
 */
export function originGuard(allowed: readonly string[]) {
  return (request: FastifyRequest, reply: FastifyReply): FastifyReply | null => {
    const { origin, host, upgrade } = request.headers;
    const isPlainGet = /^(GET|HEAD)$/.test(request.method) && upgrade === undefined;
    if (origin === undefined || isPlainGet) return null;
    if (allowed.includes(origin) || isOwn(origin, host)) return null;
    return reply.code(403).send({ detail: "Origin not allowed" });
  };
}

function isOwn(origin: string, host: string | undefined): boolean {
  return URL.canParse(origin) && new URL(origin).host === host?.toLowerCase();
}
