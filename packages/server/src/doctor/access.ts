/** What concerns those who call the node: may they, and may others not. */
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";
import { isReachable } from "../access/addresses.ts";
import { readKeys } from "../access/key-source.ts";
import { readTls } from "../access/tls.ts";
import type { ServeConfig } from "../settings/config.ts";
import { type Check, type Finding, failed, ok, skipped } from "./check.ts";

/** A certificate that ends sooner may end in the middle of a round. */
const LEAST_DAYS = 3;
const DAY_MS = 86_400_000;

export type AccessConfig = Pick<
  ServeConfig,
  "apiKey" | "apiKeyFile" | "host" | "tlsCert" | "tlsKey" | "tlsClientCa"
>;

/** @param now milliseconds since 1970 */
export function accessChecks(config: AccessConfig, now = Date.now): Check[] {
  return [
    { name: "access", run: () => checkAccess(config) },
    { name: "TLS", run: () => checkTls(config, now()) },
  ];
}

function checkTls({ tlsCert, tlsKey, tlsClientCa }: AccessConfig, now: number): Finding {
  const tls = readTls({ cert: tlsCert, key: tlsKey, ca: tlsClientCa }); // says what is wrong
  if (!tls?.cert) return skipped("no --tls-cert: callers speak plain HTTP");
  const { validFrom, validTo } = new X509Certificate(tls.cert);
  if (now < Date.parse(validFrom)) return failed(`the certificate is valid from ${validFrom} on`);
  const days = Math.floor((Date.parse(validTo) - now) / DAY_MS);
  const words = `the certificate is valid until ${validTo}`;
  return days >= LEAST_DAYS ? ok(words) : failed(`${words}: renew it`);
}

async function checkAccess(config: AccessConfig): Promise<Finding> {
  const keys = readKeys(config).length; // says what is wrong with a file
  if (keys > 0) return ok(`${keys} ${keys === 1 ? "key" : "keys"}`);
  if (!(await isPublic(config.host))) return ok("no key, and no other machine reaches it");
  return failed(
    `whoever reaches ${config.host} commands the node: give it --api-key-file or --api-key`,
  );
}

/** Whether what listens on an address or name does so for other machines. */
async function isPublic(host: string): Promise<boolean> {
  const server = createServer().listen({ host, port: 0 });
  await once(server, "listening");
  try {
    return isReachable(server);
  } finally {
    server.close();
  }
}
