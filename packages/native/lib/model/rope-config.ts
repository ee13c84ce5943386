/**
 * RoPE's parameters as config.json states them: `rope_theta` beside `rope_scaling`, or all of them
 * inside `rope_scaling` or `rope_parameters`, as newer files have it. What stands in several places
 * must say the same.
 */
import { z } from "zod";
import { size } from "./context.ts";
import { firstIssue, show } from "./refusal.ts";
import type { Llama3Scaling } from "./rope.ts";

interface RopeConfig {
  rope_theta: number;
  rope_scaling: Llama3Scaling | null;
}

const positive = z.number().positive();
/** Models that rotate only a part of each head are refused. */
const wholeHead = z.literal(1).nullish();

/** Keys of a `rope_scaling` or `rope_parameters` that are read here. */
const parametersSchema = z
  .object({
    rope_type: z.string().nullish(),
    type: z.string().nullish(),
    rope_theta: positive.nullish(),
    partial_rotary_factor: wholeHead,
    factor: z.number().nullish(),
    low_freq_factor: z.number().nullish(),
    high_freq_factor: z.number().nullish(),
    original_max_position_embeddings: z.number().nullish(),
  })
  // Some architectures nest one set for each type of layer.
  .catchall(z.unknown().refine(isNoObject, "expected one set of parameters for all layers"));
type Parameters = z.infer<typeof parametersSchema>;

export const ROPE_HONOURED: readonly string[] = Object.keys(parametersSchema.shape);

const llama3Schema = z.object({
  factor: z.number().min(1),
  low_freq_factor: positive,
  high_freq_factor: positive,
  original_max_position_embeddings: size(2 ** 30),
});

/** The keys of config.json that say how positions are rotated. */
export const ropeSchema = z.looseObject({
  rope_theta: positive.nullish(),
  rope_scaling: parametersSchema.nullish(),
  rope_parameters: parametersSchema.nullish(),
  partial_rotary_factor: wholeHead,
  original_max_position_embeddings: size(2 ** 30).nullish(),
});
type RopeKeys = z.infer<typeof ropeSchema>;

/** Hugging Face's, in all architectures here. */
const DEFAULT_THETA = 10_000;

/** @throws Error naming the key, what it holds and what was expected */
export function ropeConfig(file: RopeKeys): RopeConfig {
  const places = (["rope_parameters", "rope_scaling"] as const).flatMap((key) => {
    const parameters = file[key];
    return parameters && Object.keys(parameters).length > 0 ? [{ key, parameters }] : [];
  });
  const [first, second] = places.map(({ key, parameters }) => ({
    key,
    scaling: scalingOf(key, withOriginal(parameters, file)),
  }));
  if (first && second && JSON.stringify(first.scaling) !== JSON.stringify(second.scaling)) {
    throw new Error(
      `${second.key} is ${show(file[second.key])}, expected the same as ${first.key} or nothing`,
    );
  }
  const thetas = [
    { key: "rope_theta", theta: file.rope_theta },
    ...places.map(({ key, parameters }) => ({
      key: `${key}.rope_theta`,
      theta: parameters.rope_theta,
    })),
  ].filter(({ theta }) => theta !== undefined && theta !== null);
  const other = thetas.find(({ theta }) => theta !== thetas[0]?.theta);
  if (other) {
    throw new Error(
      `${other.key} is ${other.theta}, expected ${thetas[0]?.theta} as in ${thetas[0]?.key}`,
    );
  }
  const [stated, another] = thetas;
  if (second && !another && stated?.key === "rope_parameters.rope_theta") {
    // Then transformers reads rope_scaling alone, and takes its own theta.
    if (stated.theta !== DEFAULT_THETA) {
      throw new Error(
        `${stated.key} is ${stated.theta}, expected the same in rope_scaling as well`,
      );
    }
  }
  return {
    rope_theta: thetas[0]?.theta ?? DEFAULT_THETA,
    rope_scaling: first?.scaling ?? null,
  };
}

/** Some files state the context that a model was first trained with beside the other sizes. */
function withOriginal(parameters: Parameters, file: RopeKeys): Parameters {
  const { original_max_position_embeddings: outside } = file;
  const inside = parameters.original_max_position_embeddings;
  if (typeOf(parameters) !== "llama3" || !outside) return parameters;
  if (inside && inside !== outside) {
    throw new Error(
      `original_max_position_embeddings is ${outside}, expected ${inside} as RoPE's own`,
    );
  }
  return { ...parameters, original_max_position_embeddings: outside };
}

function scalingOf(key: string, parameters: Parameters): Llama3Scaling | null {
  const { rope_type, type, factor } = parameters;
  if (rope_type && type && rope_type !== type) {
    throw new Error(`${key}.type is ${show(type)}, expected ${show(rope_type)} as in rope_type`);
  }
  const chosen = typeOf(parameters);
  if (chosen === "default") {
    if ((factor ?? 1) === 1) return null;
    throw new Error(`${key}.factor is ${factor}, expected 1 or none where rope_type is "default"`);
  }
  if (chosen !== "llama3") {
    throw new Error(`${key}.rope_type is ${show(chosen)}, expected "default" or "llama3"`);
  }
  const scaling = llama3Schema.safeParse(parameters);
  if (!scaling.success) throw new Error(firstIssue(scaling.error, parameters, key));
  const { low_freq_factor: low, high_freq_factor: high } = scaling.data;
  if (high <= low) {
    throw new Error(
      `${key}.high_freq_factor is ${high}, expected more than low_freq_factor, ${low}`,
    );
  }
  return scaling.data;
}

/** Undefined where there are factors but no type: how they scale the frequencies is not known. */
function typeOf({ rope_type, type, ...parameters }: Parameters): string | undefined {
  const isScaled = (["factor", "low_freq_factor", "high_freq_factor"] as const).some(
    (key) => (parameters[key] ?? 1) !== 1,
  );
  return rope_type ?? type ?? (isScaled ? undefined : "default");
}

function isNoObject(value: unknown): boolean {
  return typeof value !== "object" || value === null || Array.isArray(value);
}
