/** A decoder-only model in float64, by its formulas and nothing else: what tests compare with. */
import { open } from "node:fs/promises";
import { readConfig } from "./model/config.ts";
import { attentionWidths, type ModelConfig } from "./model/model-config.ts";
import { ropeInvFreq } from "./model/rope.ts";
import { readTensors } from "./model/safetensors.ts";
import { locateWeights, type TensorLocation } from "./model/weights.ts";

/** [rows, width] */
type Matrix = Float64Array;

export class Float64Model {
  readonly #config: ModelConfig;
  readonly #weights: ReadonlyMap<string, Matrix>;

  private constructor(config: ModelConfig, weights: ReadonlyMap<string, Matrix>) {
    this.#config = config;
    this.#weights = weights;
  }

  /** @throws Error as `loadModel`, for a model without its embeddings too */
  static async load(directory: string): Promise<Float64Model> {
    const config = { ...(await readConfig(directory)), embeds_tokens: true };
    const located = locateWeights(config, await readTensors(directory));
    const weights = new Map<string, Matrix>();
    for (const [name, at] of Object.entries(located)) weights.set(name, await read(at));
    return new Float64Model(config, weights);
  }

  /** [count, vocab_size] logits of the tokens that follow each of the last `count`. */
  logits(tokens: Uint32Array, count = 1): Matrix {
    const { hidden_size: hidden, num_hidden_layers, tie_word_embeddings } = this.#config;
    const table = this.#weight("model.embed_tokens.weight");
    const x = new Float64Array(tokens.length * hidden);
    for (const [t, token] of tokens.entries()) {
      x.set(table.subarray(token * hidden, (token + 1) * hidden), t * hidden);
    }
    for (let i = 0; i < num_hidden_layers; i++) this.#layer(x, `model.layers.${i}`);
    const last = this.#norm(x.subarray(-count * hidden), "model.norm.weight", hidden);
    return this.#linear(last, tie_word_embeddings ? "model.embed_tokens" : "lm_head", hidden);
  }

  /**
   * The last position's hidden state behind the final norm, [hidden_size].
   *
   * @param inputs [positions, hidden_size] input embeddings
   * @param reflections for each layer the unit vector [hidden_size] by which the residual stream of every
   *   position is reflected behind it
   */
  hidden(inputs: Matrix, reflections: readonly Matrix[]): Matrix {
    const { hidden_size: hidden } = this.#config;
    const x = Float64Array.from(inputs);
    for (const [i, v] of reflections.entries()) {
      this.#layer(x, `model.layers.${i}`);
      for (let first = 0; first < x.length; first += hidden) {
        reflect(x.subarray(first, first + hidden), v);
      }
    }
    return this.#norm(x.subarray(-hidden), "model.norm.weight", hidden);
  }

  get layers(): number {
    return this.#config.num_hidden_layers;
  }

  get hiddenSize(): number {
    return this.#config.hidden_size;
  }

  #layer(x: Matrix, layer: string): void {
    const { hidden_size: hidden, intermediate_size: ffn, head_dim, qk_norm } = this.#config;
    const widths = attentionWidths(this.#config);
    const normed = this.#norm(x, `${layer}.input_layernorm.weight`, hidden);
    let q = this.#linear(normed, `${layer}.self_attn.q_proj`, hidden);
    let k = this.#linear(normed, `${layer}.self_attn.k_proj`, hidden);
    const v = this.#linear(normed, `${layer}.self_attn.v_proj`, hidden);
    if (qk_norm) {
      q = this.#norm(q, `${layer}.self_attn.q_norm.weight`, head_dim);
      k = this.#norm(k, `${layer}.self_attn.k_norm.weight`, head_dim);
    }
    this.#rotate(q, widths.q);
    this.#rotate(k, widths.kv);
    add(x, this.#linear(this.#attend(q, k, v), `${layer}.self_attn.o_proj`, widths.q));
    const post = this.#norm(x, `${layer}.post_attention_layernorm.weight`, hidden);
    const gate = this.#linear(post, `${layer}.mlp.gate_proj`, hidden);
    const up = this.#linear(post, `${layer}.mlp.up_proj`, hidden);
    const gated = gate.map((g, i) => (g / (1 + Math.exp(-g))) * at(up, i));
    add(x, this.#linear(gated, `${layer}.mlp.down_proj`, ffn));
  }

  /** Of each head over itself and all positions before it. */
  #attend(q: Matrix, k: Matrix, v: Matrix): Matrix {
    const { num_attention_heads: heads, num_key_value_heads, head_dim: width } = this.#config;
    const { q: q_width, kv } = attentionWidths(this.#config);
    const out = new Float64Array(q.length);
    for (let t = 0; t < q.length / q_width; t++) {
      for (let head = 0; head < heads; head++) {
        const from = t * q_width + head * width;
        const column = Math.floor(head / (heads / num_key_value_heads)) * width;
        const scores = Array.from({ length: t + 1 }, (_, s) => {
          let sum = 0;
          for (let d = 0; d < width; d++) sum += at(q, from + d) * at(k, s * kv + column + d);
          return sum / Math.sqrt(width);
        });
        const top = Math.max(...scores);
        const weights = scores.map((score) => Math.exp(score - top));
        const all = weights.reduce((sum, weight) => sum + weight, 0);
        for (const [s, weight] of weights.entries()) {
          for (let d = 0; d < width; d++) {
            out[from + d] = at(out, from + d) + (weight / all) * at(v, s * kv + column + d);
          }
        }
      }
    }
    return out;
  }

  /** Heads of rows of this width, by their row's position. */
  #rotate(x: Matrix, rowWidth: number): void {
    const { head_dim, rope_theta, rope_scaling } = this.#config;
    const frequencies = ropeInvFreq(head_dim, rope_theta, rope_scaling);
    const half = head_dim / 2;
    for (let first = 0; first < x.length; first += head_dim) {
      const position = Math.floor(first / rowWidth);
      for (let j = 0; j < half; j++) {
        const angle = position * at(frequencies, j);
        const [a, b] = [at(x, first + j), at(x, first + half + j)];
        x[first + j] = a * Math.cos(angle) - b * Math.sin(angle);
        x[first + half + j] = b * Math.cos(angle) + a * Math.sin(angle);
      }
    }
  }

  #norm(x: Matrix, name: string, width: number): Matrix {
    const weight = this.#weight(name);
    const out = new Float64Array(x.length);
    for (let first = 0; first < x.length; first += width) {
      let squares = 0;
      for (let i = 0; i < width; i++) squares += at(x, first + i) ** 2;
      const scale = 1 / Math.sqrt(squares / width + this.#config.rms_norm_eps);
      for (let i = 0; i < width; i++) out[first + i] = at(x, first + i) * scale * at(weight, i);
    }
    return out;
  }

  /** a [rows, depth] times the transpose of a matrix [columns, depth], with its bias if it has one. */
  #linear(a: Matrix, name: string, depth: number): Matrix {
    const weight = this.#weight(`${name}.weight`);
    const bias = this.#weights.get(`${name}.bias`);
    const columns = weight.length / depth;
    const out = new Float64Array((a.length / depth) * columns);
    for (let row = 0; row < a.length / depth; row++) {
      for (let column = 0; column < columns; column++) {
        let sum = 0;
        for (let i = 0; i < depth; i++) {
          sum += at(a, row * depth + i) * at(weight, column * depth + i);
        }
        out[row * columns + column] = sum + (bias?.[column] ?? 0);
      }
    }
    return out;
  }

  #weight(name: string): Matrix {
    const weight = this.#weights.get(name);
    if (!weight) throw new Error(`there is no tensor ${name}`);
    return weight;
  }
}

function at(values: { readonly [index: number]: number }, index: number): number {
  return values[index] ?? Number.NaN;
}

function add(x: Matrix, y: Matrix): void {
  for (const [i, value] of y.entries()) x[i] = at(x, i) + value;
}

/** x − 2(x·v)v, in place; v is of length 1. */
export function reflect(x: Matrix, v: Matrix): void {
  const product = x.reduce((sum, value, i) => sum + value * at(v, i), 0);
  for (const [i, value] of x.entries()) x[i] = value - 2 * product * at(v, i);
}

async function read({ file, offset, shape, dtype }: TensorLocation): Promise<Matrix> {
  const count = shape.reduce((product, extent) => product * extent, 1);
  const bytes = Buffer.alloc(count * (dtype === "F32" ? 4 : 2));
  const handle = await open(file);
  try {
    await handle.read(bytes, 0, bytes.length, offset);
  } finally {
    await handle.close();
  }
  return Float64Array.from({ length: count }, (_, i) => {
    if (dtype === "F32") return bytes.readFloatLE(4 * i);
    const half = bytes.readUInt16LE(2 * i);
    return dtype === "F16" ? widenF16(half) : widenBf16(half);
  });
}

const word = new DataView(new ArrayBuffer(4));

function widenBf16(half: number): number {
  word.setUint16(0, half);
  word.setUint16(2, 0);
  return word.getFloat32(0);
}

function widenF16(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 0x1f;
  const mantissa = half & 0x3ff;
  if (exponent === 0) return sign * mantissa * 2 ** -24;
  return sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}
