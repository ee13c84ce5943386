/** TLS: what the node shows, and whose clients it lets in. */
import { createSecureContext, type Server } from "node:tls";
import { readSmallFile } from "../platform/small-file.ts";

/** PEM files. */
export interface TlsFiles {
  /** The certificate, and those between it and its authority. */
  cert: string | undefined;
  key: string | undefined;
  /** Who must have signed the other side's certificate. */
  ca: string | undefined;
}

/** What the files hold, where they are named. */
export interface Tls {
  cert?: Buffer;
  key?: Buffer;
  ca?: Buffer;
}

/**
 * @returns null where no file is named
 * @throws Error with what is wrong
 */
export function readTls(files: TlsFiles): Tls | null {
  const { cert, key, ca } = files;
  const names = filesOf(files);
  if (names.length === 0) return null;
  const tls = {
    ...(cert !== undefined && { cert: readSmallFile(cert) }),
    ...(key !== undefined && { key: readSmallFile(key) }),
    ...(ca !== undefined && { ca: readSmallFile(ca) }),
  };
  try {
    createSecureContext(tls);
  } catch (error) {
    throw new Error(`${names.join(", ")}: ${tlsFault(error)}`);
  }
  return tls;
}

/** A server that speaks TLS shows this certificate from now on. */
export function useTls(server: object, tls: Tls): void {
  (server as Server).setSecureContext(tls);
}

export function filesOf({ cert, key, ca }: TlsFiles): string[] {
  return [cert, key, ca].filter((file) => file !== undefined);
}

/** OpenSSL's words, without the line of its source. */
function tlsFault(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === "ERR_OSSL_X509_KEY_VALUES_MISMATCH") return "the key is not the certificate's";
  if (/^ERR_OSSL_(PEM_NO_START_LINE|UNSUPPORTED)$/.test(code ?? ""))
    return "expected PEM: -----BEGIN …";
  return message.replace(/^error:\w*:/, "");
}
