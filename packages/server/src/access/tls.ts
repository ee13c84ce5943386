/** TLS: what the node shows, and whose clients it lets in. */
import { X509Certificate } from "node:crypto";
import { createSecureContext, type Server, type TLSSocket } from "node:tls";
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

const PEM = /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----[^-]+-----END [^-]+-----/g;
/** Certificates of a chain that are looked at. */
const MAX_CHAIN = 10;

/** The connections of servers that are watched. */
const connections = new WeakMap<object, Set<TLSSocket>>();

/** From now on a server's connections are known, for `useTls`. */
export function watchTls(server: object): void {
  const open = new Set<TLSSocket>();
  connections.set(server, open);
  (server as Server).on("secureConnection", (socket) => {
    open.add(socket);
    socket.once("close", () => open.delete(socket));
  });
}

/**
 * A server that speaks TLS shows this certificate from now on. Connections of clients whom the
 * authorities do not vouch for any more end at once, the others go on.
 */
export function useTls(server: object, tls: Tls): void {
  (server as Server).setSecureContext(tls);
  if (!tls.ca) return;
  const authorities = (tls.ca.toString().match(PEM) ?? []).map((pem) => new X509Certificate(pem));
  for (const socket of connections.get(server) ?? []) {
    if (!isVouchedFor(socket.getPeerX509Certificate(), authorities)) socket.destroy();
  }
}

/** Whether an authority is in a certificate's chain, or has signed one that is. */
function isVouchedFor(
  certificate: X509Certificate | undefined,
  authorities: readonly X509Certificate[],
): boolean {
  let each = certificate;
  for (let depth = 0; each && depth < MAX_CHAIN; depth++) {
    const { fingerprint256 } = each;
    for (const authority of authorities) {
      if (authority.fingerprint256 === fingerprint256) return true;
      if (each.checkIssued(authority) && each.verify(authority.publicKey)) return true;
    }
    each = each.issuerCertificate;
  }
  return false;
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
