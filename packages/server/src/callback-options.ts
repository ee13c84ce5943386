/** What a configuration says of callbacks. */
import { readTls, type TlsFiles } from "./access/tls.ts";
import type { PosterOptions } from "./callbacks/request.ts";
import type { ServeConfig } from "./settings/config.ts";

/** @throws Error with what is wrong with a certificate */
export function posterOptions(config: ServeConfig): PosterOptions {
  return {
    secret: config.callbackSecret,
    allow: config.callbackAllow,
    token: config.callbackToken,
    tls: readTls(callbackTls(config)),
  };
}

export function callbackTls(config: ServeConfig): TlsFiles {
  const { callbackTlsCert: cert, callbackTlsKey: key, callbackTlsCa: ca } = config;
  return { cert, key, ca };
}
