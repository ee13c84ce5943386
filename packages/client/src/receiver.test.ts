import { createHmac } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import Fastify from "fastify";
import { expect, onTestFinished, test } from "vitest";
import {
  createReceiver,
  type GeneratedBatch,
  parseGenerated,
  parseValidated,
  type ReceiverOptions,
  type ValidatedBatch,
  verifySignature,
} from "./receiver.ts";

const GENERATED: GeneratedBatch = {
  public_key: "node1",
  block_hash: "abc123",
  block_height: 100,
  nonces: [1, 2, 3],
  dist: [1.25, 1.5, 1.75],
  node_id: 0,
  arithmetic: "cpu-1",
  round_id: "01JH0000000000000000000001",
  r_target: 1.8,
};

const VALIDATED: ValidatedBatch = {
  public_key: "node1",
  block_hash: "abc123",
  block_height: 100,
  nonces: [1, 2],
  dist: [1.25, null],
  node_id: 0,
  received_dist: [1.25, 1.5],
  r_target: 1.4,
  fraud_threshold: 0.01,
  n_invalid: 0,
  probability_honest: 1,
  fraud_detected: false,
  arithmetic: "cpu-1",
  round_id: "01JH0000000000000000000001",
};

/** Both ways to mount one. */
async function mounted(
  how: "node:http" | "fastify",
  { secret = false, ...options }: Partial<ReceiverOptions>,
): Promise<string> {
  const receiver = createReceiver({ secret, ...options });
  if (how === "fastify") {
    const app = Fastify();
    await app.register(receiver.plugin, { prefix: "/pow" });
    onTestFinished(() => app.close());
    return `${await app.listen({ port: 0, host: "127.0.0.1" })}/pow`;
  }
  const server = createServer(receiver.handler).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/pow`;
}

const post = (url: string, body: unknown, headers: Record<string, string> = {}) =>
  fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });

const sign = (secret: string, body: string, t: number) =>
  `t=${t},v1=${createHmac("sha256", secret).update(`${t}.${body}`).digest("hex")}`;

const ORIGIN = { public_key: "02ab", block_hash: "b", block_height: 7, node_id: 0 };
const ARTIFACTS = {
  ...ORIGIN,
  artifacts: [{ nonce: 3, vector_b64: "AAAA" }],
  encoding: { dtype: "f16", k_dim: 12, endian: "le" },
};
const ARTIFACT_VERDICT = {
  ...{ request_id: "r1", ...ORIGIN, n_total: 2, n_mismatch: 1, mismatch_nonces: [3] },
  ...{ p_value: 0.002, fraud_detected: true },
};

test.each(["node:http", "fastify"] as const)(
  "artifacts are told from distances (%s)",
  async (how) => {
    const heard: unknown[] = [];
    const hear = (kind: string) => (body: unknown) => void heard.push([kind, body]);
    const url = await mounted(how, {
      onGenerated: hear("generated"),
      onValidated: hear("validated"),
      onArtifacts: hear("artifacts"),
      onArtifactVerdict: hear("verdict"),
    });
    const bodies = [ARTIFACTS, { request_id: "r1", ...ARTIFACTS }, GENERATED];
    for (const body of bodies) expect((await post(`${url}/generated`, body)).status).toBe(200);
    for (const body of [ARTIFACT_VERDICT, VALIDATED]) {
      expect((await post(`${url}/validated`, body)).status).toBe(200);
    }
    expect(heard).toEqual([
      ["artifacts", { ...ARTIFACTS, request_id: null }],
      ["artifacts", { ...ARTIFACTS, request_id: "r1" }],
      ["generated", GENERATED],
      ["verdict", ARTIFACT_VERDICT],
      ["validated", VALIDATED],
    ]);
  },
);

test("artifacts that nobody would have are refused with why", async () => {
  const url = await mounted("node:http", { onGenerated: () => {}, onValidated: () => {} });
  const refused = async (path: string, body: unknown) => {
    const response = await post(`${url}${path}`, body);
    return [response.status, (await response.json()).detail];
  };
  const why = "this receiver takes no artifacts: it was given no";
  expect(await refused("/generated", ARTIFACTS)).toEqual([422, `${why} onArtifacts`]);
  expect(await refused("/validated", ARTIFACT_VERDICT)).toEqual([
    ...[422, `${why} onArtifactVerdict`],
  ]);
});

test("bodies are read from text, bytes and objects", () => {
  const text = JSON.stringify(GENERATED);
  expect(parseGenerated(text)).toEqual(GENERATED);
  expect(parseGenerated(Buffer.from(text))).toEqual(GENERATED);
  expect(parseGenerated({ ...GENERATED, more: 1 })).toEqual(GENERATED);
  expect(parseValidated(JSON.stringify(VALIDATED))).toEqual(VALIDATED);
});

test("what an older service does not send is null", () => {
  const { arithmetic, round_id, r_target, ...proof } = GENERATED;
  const unsaid = { arithmetic: null, round_id: null, r_target: null };
  expect(parseGenerated(proof)).toEqual({ ...proof, ...unsaid });
  expect(parseGenerated({ ...proof, ...unsaid })).toEqual({ ...proof, ...unsaid });
  const { round_id: _, ...verdict } = VALIDATED;
  expect(parseValidated(verdict)).toEqual({ ...verdict, round_id: null });
});

test.each([
  ["{", "the body is not JSON"],
  ["null", "expected object"],
  [{ ...GENERATED, nonces: [1, 1, 2] }, "nonces.1: Value error, 1 is given twice"],
  [{ ...GENERATED, dist: [1] }, "3 nonces but 1 distances"],
  [{ ...GENERATED, public_key: undefined }, "public_key"],
])("%j is refused", (body, reason) => {
  expect(() => parseGenerated(body)).toThrow(reason);
  expect(() => parseValidated(body)).toThrow();
});

test("a signature holds for its body and its time only", () => {
  const now = 1_700_000_000;
  const body = "{}";
  const header = sign("secret", body, now);
  const verify = (change: object) => () =>
    verifySignature({ secret: "secret", header, body, now, ...change });
  expect(verify({})).not.toThrow();
  expect(verify({ now: now + 299 })).not.toThrow();
  expect(verify({ now: now + 301 })).toThrow("too old");
  expect(verify({ body: "{} " })).toThrow("wrong");
  expect(verify({ secret: "other" })).toThrow("wrong");
  expect(verify({ header: header.replace(`t=${now}`, `t=${now + 1}`) })).toThrow("wrong");
  expect(verify({ header: undefined })).toThrow("missing");
  for (const broken of ["", "t=1", "v1=00", `${header},v1=0`, "t=x,v1=y"]) {
    expect(verify({ header: broken })).toThrow(/missing|cannot be read/);
  }
});

for (const how of ["node:http", "fastify"] as const) {
  test(`${how}: hands each nonce on once, and acknowledges when it is taken`, async () => {
    const taken: number[][] = [];
    const verdicts: ValidatedBatch[] = [];
    let release = () => {};
    const url = await mounted(how, {
      onGenerated: async ({ nonces, dist }) => {
        expect(dist.length).toBe(nonces.length);
        taken.push(nonces);
        await new Promise<void>((resolve) => {
          release = resolve;
        });
      },
      onValidated: (batch) => void verdicts.push(batch),
    });
    let acknowledged = false;
    const first = post(`${url}/generated`, GENERATED).then((answer) => {
      acknowledged = true;
      return answer;
    });
    // The same and more, while the first is at work: a sender that lost patience.
    while (taken.length < 1) await new Promise(setImmediate);
    const more = { ...GENERATED, nonces: [1, 2, 3, 4], dist: [1.25, 1.5, 1.75, 1] };
    const second = post(`${url}/generated`, more);
    await new Promise(setImmediate);
    expect(acknowledged).toBe(false);
    release();
    expect((await first).status).toBe(200);
    while (taken.length < 2) await new Promise(setImmediate);
    release();
    expect((await second).status).toBe(200);
    expect((await post(`${url}/generated?x=1`, more)).status).toBe(200);
    expect(taken).toEqual([[1, 2, 3], [4]]);
    // Another key's nonces are others, and another round's, of the same block and key.
    const { round_id: _, ...unnamed } = GENERATED;
    const others = [
      { ...GENERATED, public_key: "node2" },
      { ...GENERATED, round_id: "01JH0000000000000000000002" },
      unnamed,
      { ...unnamed, r_target: 1.9 },
    ];
    for (const [i, batch] of others.entries()) {
      const other = post(`${url}/generated`, batch);
      while (taken.length < 3 + i) await new Promise(setImmediate);
      release();
      expect((await other).status).toBe(200);
      expect((await post(`${url}/generated`, batch)).status).toBe(200);
      expect(taken.slice(2 + i)).toEqual([[1, 2, 3]]);
    }
    expect((await post(`${url}/validated`, VALIDATED)).status).toBe(200);
    expect(verdicts).toEqual([VALIDATED]);
  });

  test(`${how}: what could not be taken is asked for again`, async () => {
    const errors: unknown[] = [];
    let fails = true;
    let takes = 0;
    const url = await mounted(how, {
      onGenerated: () => {
        takes++;
        if (fails) throw new Error("the database is away, its password is hunter2");
      },
      onError: (error) => errors.push(error),
    });
    const refused = await post(`${url}/generated`, GENERATED);
    expect(refused.status).toBe(500);
    expect(await refused.text()).not.toContain("hunter2");
    expect(errors).toHaveLength(1);
    fails = false;
    expect((await post(`${url}/generated`, GENERATED)).status).toBe(200);
    expect((await post(`${url}/generated`, GENERATED)).status).toBe(200);
    expect(takes).toBe(2);
  });

  test(`${how}: what is no callback is refused`, async () => {
    const url = await mounted(how, { secret: "s3cret", onGenerated: () => {} });
    const body = JSON.stringify(GENERATED);
    const header = (secret: string) => ({
      "proofmill-signature": sign(secret, body, Math.floor(Date.now() / 1000)),
    });
    expect((await post(`${url}/generated`, body)).status).toBe(401);
    expect((await post(`${url}/generated`, body, header("other"))).status).toBe(401);
    expect((await post(`${url}/generated`, body, header("s3cret"))).status).toBe(200);
    expect((await post(`${url}/other`, body)).status).toBe(404);
    expect((await fetch(`${url}/generated`)).status).toBeGreaterThanOrEqual(404);
    const open = await mounted(how, {});
    expect((await post(`${open}/generated`, "{")).status).toBe(422);
    expect((await post(`${open}/validated`, GENERATED)).status).toBe(422);
    // However much of it is still to be sent when it is found too large.
    const large = "x".repeat(20 * 1024 * 1024);
    for (let i = 0; i < 10; i++) expect((await post(`${open}/generated`, large)).status).toBe(413);
  });
}

test("a receiver without a secret has to say so", () => {
  for (const secret of [undefined, "", null, true]) {
    expect(() => createReceiver({ secret: secret as never })).toThrow(
      /^secret: expected the nodes'/,
    );
  }
});
