/** Pages in a browser use the node only where they may: nobody else's page may command it. */
import { isIP } from "node:net";
import type { FastifyReply, FastifyRequest } from "fastify";

/**
 * A hook that refuses what a foreign page sends and what could change something: all but plain GETs,
 * whose answers a browser does not show it anyway. Browsers name the page's `Origin`, programs send
 * none.
 *
 * The node's own pages may come by an address or as localhost, but not by another name: such a
 * name can be made to lead here by anybody who owns it.
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
  if (!URL.canParse(origin)) return false;
  const url = new URL(origin);
  const name = url.hostname.replace(/^\[|\]$/g, "");
  return url.host === host && (name === "localhost" || isIP(name) !== 0);
}
