/** Compiles only while the SDK's types, core's schemas and the router's type say the same. */
import type * as sdk from "@proofmill/client";
import type { GeneratedBatch } from "@proofmill/client/receiver";
import type { AppRouter } from "@proofmill/client/trpc";
import type * as core from "@proofmill/core";
import type { inferRouterInputs, inferRouterOutputs } from "@trpc/server";

/** A's fields one by one, however A is put together. */
type Flat<A> = A extends readonly unknown[]
  ? A
  : A extends object
    ? { [K in keyof A]: Flat<A[K]> }
    : A;
type Same<A, B> =
  (<T>() => T extends Flat<A> ? 1 : 2) extends <T>() => T extends Flat<B> ? 1 : 2 ? true : false;

type Inputs = inferRouterInputs<AppRouter>;
type Outputs = inferRouterOutputs<AppRouter>;
type Answer<Method extends (...args: never[]) => Promise<unknown>> = Awaited<ReturnType<Method>>;
type Argument<Method> = Method extends (input: infer Input, ...rest: never[]) => unknown
  ? Input
  : never;
/** What one event of a subscription bears besides its id. */
type Data<Stream> = Stream extends AsyncIterable<{ data: infer Event }> ? Event : never;
type WithId<Event> = Event extends unknown ? Event & { id: string } : never;

export const agreement: true[] = [
  yes<Same<sdk.InitBody, Inputs["pow"]["init"]>>(),
  yes<Same<Argument<sdk.PocClient["init"]>, Inputs["pow"]["init"]>>(),
  yes<Same<Argument<sdk.PocClient["initGenerate"]>, Inputs["pow"]["initGenerate"]>>(),
  yes<Same<Argument<sdk.PocClient["initValidate"]>, Inputs["pow"]["initValidate"]>>(),
  yes<Same<Argument<sdk.PocClient["validate"]>, Inputs["pow"]["validate"]>>(),
  yes<Same<sdk.StatusPage, Exclude<Inputs["pow"]["status"], void>>>(),
  yes<Same<Answer<sdk.PocClient["init"]>, Outputs["pow"]["init"]>>(),
  yes<Same<Answer<sdk.PocClient["initGenerate"]>, Outputs["pow"]["initGenerate"]>>(),
  yes<Same<Answer<sdk.PocClient["initValidate"]>, Outputs["pow"]["initValidate"]>>(),
  yes<Same<Answer<sdk.PocClient["phaseGenerate"]>, Outputs["pow"]["phaseGenerate"]>>(),
  yes<Same<Answer<sdk.PocClient["phaseValidate"]>, Outputs["pow"]["phaseValidate"]>>(),
  yes<Same<Answer<sdk.PocClient["stop"]>, Outputs["pow"]["stop"]>>(),
  yes<Same<Answer<sdk.PocClient["validate"]>, Outputs["pow"]["validate"]>>(),
  yes<Same<Answer<sdk.PocClient["status"]>, Outputs["pow"]["status"]>>(),
  yes<Same<Answer<sdk.PocClient["nodeInfo"]>, Outputs["node"]["info"]>>(),
  yes<Same<sdk.ValidNoncesEvent, WithId<Data<Outputs["pow"]["onValidNonces"]>>>>(),
  yes<Same<sdk.StatusEvent, WithId<Data<Outputs["pow"]["onStatus"]>>>>(),
  yes<Same<sdk.ValidatedBatch, OrNull<core.ValidatedBatch, "round_id">>>(),
  yes<Same<sdk.ProofBatch, core.ProofBatch>>(),
  yes<Same<GeneratedBatch, OrNull<core.GeneratedBatch, "arithmetic" | "round_id" | "r_target">>>(),
  yes<Same<sdk.ValidationIssue, core.ValidationIssue>>(),
];

/** These fields are null from services that do not send them. */
type OrNull<A, Fields extends keyof A> = {
  [K in keyof A]: K extends Fields ? A[K] | null : A[K];
};

function yes<_ extends true>(): true {
  return true;
}
