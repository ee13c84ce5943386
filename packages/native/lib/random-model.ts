/** A model with random weights on disk, in Hugging Face layout: for trying out and for tests. */
import { mkdir, open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseConfig } from "./config.ts";
import { requiredTensors } from "./weights.ts";

/** Numbers that are made and written at once. */
const CHUNK = 1 << 20;

const BF16_ONE = 0x3f80;

export interface RandomModelOptions {
  /** Made if it is not there; what it holds is overwritten. */
  directory: string;
  /** A Hugging Face config.json. */
  config: Record<string, unknown>;
  /** uint32: the same seed and config give the same bytes on every machine. */
  seed: number;
}

/**
 * Writes `config.json` and `model.safetensors`: norms are 1, every other weight is drawn from a
 * bell-shaped distribution of mean 0 and standard deviation 0.02, all in bf16.
 *
 * @throws Error when the config is not one that can be loaded
 */
export async function writeRandomModel(options: RandomModelOptions): Promise<void> {
  const { directory, config, seed } = options;
  const tensors = [...requiredTensors(parseConfig(config, "config.json"))];
  await mkdir(directory, { recursive: true });
  await writeFile(join(directory, "config.json"), `${JSON.stringify(config, null, 2)}\n`);

  const header = Buffer.from(JSON.stringify(headerOf(tensors)));
  const prefix = Buffer.alloc(8);
  // The format wants the data aligned to 8 bytes: the header is filled up with spaces.
  const padding = (8 - (header.length % 8)) % 8;
  prefix.writeBigUInt64LE(BigInt(header.length + padding));
  const file = await open(join(directory, "model.safetensors"), "w");
  try {
    await file.write(Buffer.concat([prefix, header, Buffer.alloc(padding, " ")]));
    const next = bellBf16(seed);
    const chunk = new DataView(new ArrayBuffer(2 * CHUNK));
    for (const [, shape] of tensors) {
      let left = shape.reduce((product, extent) => product * extent, 1);
      while (left > 0) {
        const count = Math.min(left, CHUNK);
        for (let i = 0; i < count; i++) {
          chunk.setUint16(2 * i, shape.length === 1 ? BF16_ONE : next(), true);
        }
        await file.write(new Uint8Array(chunk.buffer, 0, 2 * count));
        left -= count;
      }
    }
    await file.sync();
  } finally {
    await file.close();
  }
}

function headerOf(tensors: [string, number[]][]): Record<string, unknown> {
  const header: Record<string, unknown> = { __metadata__: { format: "pt" } };
  let begin = 0;
  for (const [name, shape] of tensors) {
    const end = begin + shape.reduce((product, extent) => product * extent, 2);
    header[name] = { dtype: "BF16", shape, data_offsets: [begin, end] };
    begin = end;
  }
  return header;
}

/**
 * Bits of bf16 numbers whose sums of eight bytes, centred and scaled, are bell-shaped. Integers and
 * one multiplication that rounds the same everywhere; no library function.
 */
function bellBf16(seed: number): () => number {
  // Eight uniform bytes: mean 8 · 127.5, variance 8 · (256² − 1) / 12.
  const scale = 0.02 / 209.01913788;
  const float = new Float32Array(1);
  const bits = new Uint32Array(float.buffer);
  let state = seed >>> 0;
  const word = () => {
    // One step of a Weyl sequence through a 32-bit finaliser (MurmurHash3's).
    state = (state + 0x9e3779b9) >>> 0;
    let x = state;
    x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
    x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
    return x ^ (x >>> 16);
  };
  const bytes = (x: number) => (x & 255) + ((x >>> 8) & 255) + ((x >>> 16) & 255) + (x >>> 24);
  return () => {
    float[0] = (bytes(word()) + bytes(word()) - 1020) * scale;
    const u = bits[0] ?? 0;
    return (u + 0x7fff + ((u >>> 16) & 1)) >>> 16;
  };
}
