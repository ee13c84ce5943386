/** Certificates of a real node: they are read again without a stop, and their keys are never printed. */
import { copyFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "node:tls";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { poll, runCli, startServer, temporaryFolder } from "../helpers.ts";

const testData = (name: string) =>
  fileURLToPath(new URL(`../../packages/server/src/access/test-data/${name}`, import.meta.url));

/** The name in the certificate that a node shows, as one who trusts our authority sees it. */
function shown(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const ca = readFileSync(testData("ca.pem"));
    const socket = connect({ port, host: "127.0.0.1", ca }, () => {
      resolve(socket.getPeerCertificate().subject.CN as string);
      socket.destroy();
    });
    socket.on("error", reject);
  });
}

test("SIGHUP has the certificate read again, and no output shows a private key", async () => {
  const folder = temporaryFolder();
  const files = { cert: join(folder, "cert.pem"), key: join(folder, "key.pem") };
  const put = (name: string) => {
    copyFileSync(testData(`${name}.pem`), files.cert);
    copyFileSync(testData(`${name}.key`), files.key);
  };
  put("node");
  const tls = ["--tls-cert", files.cert, "--tls-key", files.key];
  const callbacks = ["--callback-tls-cert", testData("client.pem")];
  const args = [...tls, ...callbacks, "--callback-tls-key", testData("client.key")];
  const node = await startServer({
    args: [...args, "--enable-poc", "--log-level", "trace"],
    until: "listening",
  });
  const port = Number(new URL(node.url).port);
  const before = await shown(port);
  const times = (what: string, count: number) =>
    poll(
      () => node.logged(what).length,
      (seen) => seen >= count,
    );
  // No file has changed: it is the signal alone that asks for it.
  node.process.kill("SIGHUP");
  await times("certificate read again", 1);
  await times("callback certificate read again", 1);
  expect(await shown(port)).toBe(before);
  put("renewed");
  node.process.kill("SIGHUP");
  await times("certificate read again", 2);
  expect(await shown(port)).not.toBe(before);
  // A key that is not the certificate's leaves both as they are.
  copyFileSync(testData("node.key"), files.key);
  node.process.kill("SIGHUP");
  const fault = await node.log("certificate cannot be read again: the old ones stay");
  expect(fault.reason).toContain("the key is not the certificate's");
  expect(await shown(port)).not.toBe(before);
  // Who calls it in the wrong way is told the right one.
  const status = async (url: string) => (await runCli(["status", "--url", url])).stderr;
  expect(await status(node.url)).toContain(
    "NODE_EXTRA_CA_CERTS names a file of the authorities to trust",
  );
  expect(await status(node.url.replace("https:", "http:"))).toContain(
    "a node that has a certificate is called by https://",
  );
  expect(await node.stop()).toBe(0);

  const swapped = ["--tls-cert", files.key, "--tls-key", files.cert];
  const outputs = await Promise.all([
    runCli(["serve", "--port", "0", "--data-dir", join(folder, "data"), ...swapped]),
    runCli(["doctor", "--data-dir", join(folder, "data"), ...tls]),
  ]);
  const printed = [node.output(), ...outputs.map(({ stdout, stderr }) => stdout + stderr)].join();
  for (const name of ["node.key", "renewed.key", "client.key"]) {
    const secret = readFileSync(testData(name), "utf8").split("\n").slice(1, -2);
    expect(secret.length).toBeGreaterThan(0);
    for (const line of secret) expect(printed).not.toContain(line);
  }
});
