import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readIndex, readTensors } from "./safetensors.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "proofmill-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

/** A file of this header, JSON unless it is bytes already, and so many bytes of data. */
function safetensors(header: unknown, dataBytes: number, headerBytes?: number): Buffer {
  const json = Buffer.isBuffer(header) ? header : Buffer.from(JSON.stringify(header));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(headerBytes ?? json.length));
  return Buffer.concat([prefix, json, Buffer.alloc(dataBytes)]);
}

function at(name: string): string {
  return join(directory, name);
}

function write(name: string, content: Buffer | string): Promise<void> {
  return writeFile(at(name), content);
}

function writeIndex(weight_map: unknown): Promise<void> {
  return write("model.safetensors.index.json", JSON.stringify({ metadata: {}, weight_map }));
}

const W = { dtype: "BF16", shape: [2, 3], data_offsets: [0, 12] };

describe("reads", () => {
  test("dtype, shape and the absolute place of every tensor of one file", async () => {
    const header = {
      __metadata__: { format: "pt" },
      b: { dtype: "F32", shape: [2], data_offsets: [12, 20] },
      w: W,
      scalar: { dtype: "F16", shape: [], data_offsets: [20, 22] },
      nothing: { dtype: "I64", shape: [0, 7], data_offsets: [22, 22] },
    };
    await write("model.safetensors", safetensors(header, 22));
    const start = 8 + JSON.stringify(header).length;
    const file = at("model.safetensors");
    const { source, tensors } = await readTensors(relative(process.cwd(), directory));
    expect(source).toBe(file);
    expect(Object.fromEntries(tensors)).toEqual({
      b: { dtype: "F32", shape: [2], file, offset: start + 12, bytes: 8 },
      w: { dtype: "BF16", shape: [2, 3], file, offset: start, bytes: 12 },
      scalar: { dtype: "F16", shape: [], file, offset: start + 20, bytes: 2 },
      nothing: { dtype: "I64", shape: [0, 7], file, offset: start + 22, bytes: 0 },
    });
  });

  test("a header filled up with spaces, and gaps between tensors", async () => {
    const padded = Buffer.from(`${JSON.stringify({ w: { ...W, data_offsets: [4, 16] } })}   `);
    await write("model.safetensors", safetensors(padded, 20));
    const { tensors } = await readTensors(directory);
    expect(tensors.get("w")?.offset).toBe(8 + padded.length + 4);
  });

  test("what the index names from each shard, and nothing else", async () => {
    await write(
      "a.safetensors",
      safetensors({ w: W, unused: { ...W, data_offsets: [12, 24] } }, 24),
    );
    await mkdir(at("blobs"));
    await write("blobs/f00d", safetensors({ v: W }, 12)); // a downloader's cache links like this
    await symlink("blobs/f00d", at("b.safetensors"));
    await writeIndex({ w: "a.safetensors", v: "b.safetensors" });
    const { source, tensors } = await readTensors(directory);
    expect(source).toBe(at("model.safetensors.index.json"));
    expect([...tensors].map(([name, { file }]) => [name, file])).toEqual([
      ["w", at("a.safetensors")],
      ["v", at("b.safetensors")],
    ]);
  });

  test("the single file where there is an index too", async () => {
    await write("model.safetensors", safetensors({ w: W }, 12));
    await writeIndex({ w: "elsewhere.safetensors" });
    expect((await readTensors(directory)).source).toBe(at("model.safetensors"));
  });
});

describe("refuses one file", () => {
  const entry = (changes: object) => safetensors({ w: { ...W, ...changes } }, 12);
  const MALFORMED = "expected dtype, shape and data_offsets [begin, end] in whole numbers ≥ 0";

  test.each<[string, Buffer, string]>([
    ["that is empty", Buffer.alloc(0), "has 0 bytes, expected the 8 of a header's length"],
    ["cut inside the length", Buffer.alloc(7), "has 7 bytes, expected the 8 of a header's length"],
    [
      "cut inside the header",
      safetensors({ w: W }, 12).subarray(0, 30),
      "header has 58 bytes, expected at most 22 in a file of 30: it is truncated",
    ],
    [
      "cut inside a tensor",
      safetensors({ w: W }, 11),
      "tensor w: ends at byte 78, expected at most 77, the size of the file: it is truncated",
    ],
    [
      "whose header is said to be longer than the file",
      safetensors({ w: W }, 12, 1000),
      "says that its header has 1000 bytes, expected at most 70 in a file of 78",
    ],
    [
      "whose header is said to be longer than any",
      Buffer.alloc(16, 0xff),
      "says that its header has 18446744073709551615 bytes, expected at most 8",
    ],
    ["whose header is said to be shorter", safetensors({ w: W }, 12, 20), "its header is not JSON"],
    ["whose header is empty", safetensors(Buffer.alloc(0), 12), "its header is not JSON"],
    ["whose header is an array", safetensors([W], 12), "its header is [{"],
    ["whose header is null", safetensors(null, 0), "its header is null, expected a JSON object"],
    [
      "whose header is not UTF-8",
      safetensors(Buffer.from('{"\xff": 1}', "latin1"), 0),
      "its header is not JSON in UTF-8",
    ],
    ["of a text", Buffer.from("<!doctype html><html></html>\n"), "its header has"],
    [
      "of a git-lfs pointer",
      Buffer.from("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"),
      'is a git-lfs pointer, not the file itself; fetch that with "git lfs pull"',
    ],
    [
      "of a git-lfs pointer as git-lfs' first version wrote them",
      Buffer.from("version https://hawser.github.com/spec/v1\noid sha256:0\nsize 9\n"),
      "is a git-lfs pointer",
    ],
    [
      "with a name without end",
      safetensors({ ["w".repeat(1_000_000)]: { ...W, shape: [1] } }, 12),
      "a tensor's name has 1000000 characters, expected at most 1000",
    ],
    ["with a dtype without end", entry({ dtype: "x".repeat(1_000_000) }), MALFORMED],
    ["with a shape without end", entry({ shape: Array(100_000).fill(1) }), MALFORMED],
    [
      "whose header nests without end",
      safetensors(Buffer.alloc(1_000_000, "["), 0),
      "its header nests deeper than 32 levels",
    ],
    [
      "whose header nests in a tensor's entry",
      safetensors(Buffer.from(`{"w": ${"[".repeat(32)}${"]".repeat(32)}}`), 0),
      "its header nests deeper than 32 levels",
    ],
    [
      "whose header is all brackets",
      safetensors(Buffer.from(`[${"[],".repeat(2_000_000)}[]]`), 0),
      "its header holds more than 2000000 values",
    ],
    [
      "with a tensor past the end",
      entry({ data_offsets: [4, 16] }),
      "tensor w: ends at byte 82, expected at most 78",
    ],
    [
      "with more bytes than the shape",
      safetensors({ w: { ...W, shape: [2, 2] } }, 12),
      "tensor w: data_offsets [0, 12] hold 12 bytes, expected 8 for BF16 [2, 2]",
    ],
    [
      "with fewer bytes than the shape",
      entry({ data_offsets: [0, 10] }),
      "tensor w: data_offsets [0, 10] hold 10 bytes, expected 12 for BF16 [2, 3]",
    ],
    [
      "with a tensor that ends before it begins",
      entry({ data_offsets: [12, 0] }),
      "tensor w: data_offsets [12, 0] hold -12 bytes, expected 12",
    ],
    [
      "with a shape whose size overflows 64 bits to the right one",
      entry({ shape: [2 ** 32, 2 ** 31 + 3] }),
      "tensor w: data_offsets [0, 12] hold 12 bytes, expected 1844674",
    ],
    ["with a shape beyond integers", entry({ shape: [2 ** 54, 3] }), MALFORMED],
    ["with a negative extent", entry({ shape: [-2, -3] }), MALFORMED],
    ["with a fractional extent", entry({ shape: [1.5, 4] }), MALFORMED],
    ["with a negative offset", entry({ data_offsets: [-12, 0] }), MALFORMED],
    ["with a fractional offset", entry({ data_offsets: [0.5, 12.5] }), MALFORMED],
    ["with three offsets", entry({ data_offsets: [0, 6, 12] }), MALFORMED],
    ["with offsets in strings", entry({ data_offsets: ["0", "12"] }), MALFORMED],
    [
      "without a shape",
      safetensors({ w: { dtype: "BF16", data_offsets: [0, 12] } }, 12),
      MALFORMED,
    ],
    ["with null for a tensor", safetensors({ w: null }, 12), "tensor w: its header entry is null"],
    [
      "with an unknown dtype that ends before it begins",
      entry({ dtype: "Q4", data_offsets: [12, 0] }),
      "tensor w: data_offsets [12, 0] hold -12 bytes, expected 0 for Q4 [2, 3]",
    ],
    [
      "with an unknown dtype past the end",
      entry({ dtype: "constructor", data_offsets: [4, 16] }),
      "tensor w: ends at byte",
    ],
    [
      "with tensors that overlap",
      safetensors({ w: W, v: { ...W, data_offsets: [10, 22] } }, 22),
      "tensor v begins at byte 134, expected it after w, which ends at 136",
    ],
    [
      "with a tensor inside another",
      safetensors({ v: { dtype: "U8", shape: [1], data_offsets: [5, 6] }, w: W }, 12),
      "tensor v begins at byte 123, expected it after w, which ends at 130",
    ],
    [
      "with two tensors in one place",
      safetensors({ w: W, v: W }, 12),
      "expected it after w, which ends at",
    ],
  ])("%s", async (_, content, message) => {
    await write("model.safetensors", content);
    const reading = readTensors(directory);
    await expect(reading).rejects.toThrow(`${at("model.safetensors")}: `);
    await expect(reading).rejects.toThrow(message);
  });

  test("that is not there", async () => {
    await expect(readTensors(directory)).rejects.toThrow(
      `${directory}: holds neither model.safetensors nor model.safetensors.index.json`,
    );
    await mkdir(at("model.safetensors"));
    await expect(readTensors(directory)).rejects.toThrow("holds neither model.safetensors nor");
  });
});

describe("what nobody needs", () => {
  const V = { dtype: "BF16", shape: [1], data_offsets: [12, 14] };

  test("may be of an unknown dtype", async () => {
    await write("model.safetensors", safetensors({ w: W, v: { ...V, dtype: "F4_E2M1" } }, 14));
    const { tensors } = await readTensors(directory);
    expect(tensors.get("v")).toMatchObject({ dtype: "F4_E2M1", bytes: 2 });
  });

  test("an index may name wrongly", async () => {
    await write("a.safetensors", safetensors({ w: W }, 12));
    await writeIndex({
      w: "a.safetensors",
      v: "a.safetensors",
      u: "gone.safetensors",
      t: "../t.bin",
      s: null,
    });
    const asked: string[] = [];
    const { tensors } = await readTensors(directory, (has) => {
      return ["w", "x"].filter((name) => {
        asked.push(name);
        return has(name);
      });
    });
    expect([[...tensors.keys()], asked]).toEqual([["w"], ["w", "x"]]);
  });
});

test("an index of very many tensors takes no longer than its size", async () => {
  const names = Array.from({ length: 200_000 }, (_, i) => [`t${i}`, "a.safetensors"] as const);
  await writeIndex(Object.fromEntries(names));
  const { shards } = readIndex(at("model.safetensors.index.json"));
  expect(shards.get("a.safetensors")).toHaveLength(names.length);
});

describe("numbered shards without an index", () => {
  const shard = (n: number, of: number) => `model-0000${n}-of-0000${of}.safetensors`;

  test("of one", async () => {
    await write(shard(1, 1), safetensors({ w: W }, 12));
    const { source, tensors } = await readTensors(directory);
    expect([source, [...tensors.keys()]]).toEqual([directory, ["w"]]);
  });

  test("of several, all or none", async () => {
    await write(shard(2, 2), safetensors({ v: W }, 12));
    await expect(readTensors(directory)).rejects.toThrow(`${at(shard(1, 2))}: is missing`);
    await write(shard(1, 2), safetensors({ w: W }, 12));
    expect([...(await readTensors(directory)).tensors.keys()]).toEqual(["w", "v"]);
  });

  test("never with a tensor in two of them", async () => {
    for (const n of [1, 2]) await write(shard(n, 2), safetensors({ w: W }, 12));
    await expect(readTensors(directory)).rejects.toThrow(
      `${at(shard(2, 2))}: holds tensor w, expected it in ${at(shard(1, 2))} alone`,
    );
    // Unless nobody needs it.
    const { tensors } = await readTensors(directory, () => []);
    expect(tensors.get("w")?.file).toBe(at(shard(1, 2)));
  });

  test("never of two sets", async () => {
    for (const of of [1, 2]) await write(shard(1, of), safetensors({ w: W }, 12));
    await expect(readTensors(directory)).rejects.toThrow("holds neither model.safetensors nor");
  });

  test("an index beside them counts", async () => {
    await write(shard(1, 1), safetensors({ w: W, v: { ...W, data_offsets: [12, 24] } }, 24));
    await writeIndex({ w: shard(1, 1) });
    expect([...(await readTensors(directory)).tensors.keys()]).toEqual(["w"]);
  });
});

describe("refuses an index", () => {
  test.each([
    "../a.safetensors",
    "/etc/a.safetensors",
    "sub/a.safetensors",
    "..\\a.safetensors",
    "..",
    "",
    "a.bin",
    null,
    1,
    ["a.safetensors"],
  ])("that leads to %j", async (shard) => {
    await mkdir(at("sub"));
    await write("sub/a.safetensors", safetensors({ w: W }, 12));
    await writeIndex({ w: shard });
    await expect(readTensors(directory)).rejects.toThrow(
      `${at("model.safetensors.index.json")}: tensor w lies in ${JSON.stringify(shard)}, expected the name of a .safetensors file beside it`,
    );
  });

  test("that names a shard which lacks the tensor", async () => {
    await write("a.safetensors", safetensors({ w: W }, 12));
    await writeIndex({ w: "a.safetensors", v: "a.safetensors" });
    await expect(readTensors(directory)).rejects.toThrow(
      `${at("a.safetensors")}: has no tensor v, expected it here by model.safetensors.index.json`,
    );
  });

  test("that names a shard which is not there, or no file", async () => {
    await writeIndex({ w: "a.safetensors" });
    await expect(readTensors(directory)).rejects.toThrow(
      `${at("a.safetensors")}: is missing, expected a safetensors file`,
    );
    await symlink("../blobs/gone", at("a.safetensors"));
    await expect(readTensors(directory)).rejects.toThrow(
      `${at("a.safetensors")}: is a link to ../blobs/gone, which is not there`,
    );
    await rm(at("a.safetensors"));
    await mkdir(at("a.safetensors"));
    await expect(readTensors(directory)).rejects.toThrow(
      `${at("a.safetensors")}: is a directory, expected a regular file`,
    );
  });

  test("that names a shard which is cut", async () => {
    await write("a.safetensors", safetensors({ w: W }, 3));
    await writeIndex({ w: "a.safetensors" });
    await expect(readTensors(directory)).rejects.toThrow(
      `${at("a.safetensors")}: tensor w: ends at byte 78, expected at most 69`,
    );
  });

  test.each([
    ["is no JSON", "{", "is not JSON"],
    ["has no weight_map", "{}", "is {}, expected a weight_map from tensor to file names"],
    ["is null", "null", "is null, expected a weight_map"],
  ])("that %s", async (_, content, message) => {
    await write("model.safetensors.index.json", content);
    const reading = readTensors(directory);
    await expect(reading).rejects.toThrow(`${at("model.safetensors.index.json")}`);
    await expect(reading).rejects.toThrow(message);
  });
});
