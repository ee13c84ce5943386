// Whether the node beside it answers, as a container's HEALTHCHECK or probe: exit code 0 or 1. It reads
// the node's variables, so that TLS and another port are seen. Asks /livez, or the path that is named.
import http from "node:http";
import https from "node:https";

const { PROOFMILL_PORT, PROOFMILL_TLS_CERT, PROOFMILL_TLS_CLIENT_CA } = process.env;
// Empty, or tcp://… as Kubernetes sets it for a Service of that name, it is none to the node either.
const port = /^\d+$/.test(PROOFMILL_PORT ?? "") ? PROOFMILL_PORT : 8000;
const path = process.argv[2] ?? "/livez";
const { get } = PROOFMILL_TLS_CERT ? https : http;

// The certificate is the node's for its callers: under this address it need not be valid.
get({ host: "127.0.0.1", port, path, rejectUnauthorized: false, timeout: 4000 }, ({ statusCode }) =>
  process.exit(statusCode === 200 ? 0 : 1),
)
  .on("timeout", () => process.exit(1))
  // It asks for a certificate that is not here: by that it answers, and says no more.
  .on("error", ({ code }) =>
    process.exit(PROOFMILL_TLS_CLIENT_CA && /CERTIFICATE_REQUIRED$/.test(code) ? 0 : 1),
  );
