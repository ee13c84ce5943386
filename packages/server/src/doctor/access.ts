/** What concerns those who call the node: may they, and may others not. */
import { once } from "node:events";
import { createServer } from "node:net";
import { isReachable } from "../access/addresses.ts";
import { readKeys } from "../access/key-source.ts";
import type { ServeConfig } from "../settings/config.ts";
import { type Check, type Finding, failed, ok } from "./check.ts";

export type AccessConfig = Pick<ServeConfig, "apiKey" | "apiKeyFile" | "host">;

export function accessChecks(config: AccessConfig): Check[] {
  return [{ name: "access", run: () => checkAccess(config) }];
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
