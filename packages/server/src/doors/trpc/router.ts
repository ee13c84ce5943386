/** The procedures: a thin door to the service, as REST is (docs/protocol.md §5). */
import {
  type DeliveryInfo,
  type InitBody,
  type NodeInfo,
  type PocService,
  type ProofBatch,
  parseWith,
  type StatusPage,
  type Tracked,
  type WatchOptions,
} from "@proofmill/core";
import { tracked } from "@trpc/server";
import { z } from "zod";
import { writeLists } from "../../http/written.ts";
import type { InferenceGate } from "../../inference/gate.ts";
import { version } from "../../version.ts";
import type { NodeModel } from "../rest/node-routes.ts";
import { asTrpcError, type Context, procedure, router } from "./trpc.ts";

export interface RouterOptions {
  service: PocService;
  gate: InferenceGate;
  log: { readonly lost: number };
  model: NodeModel;
  delivery: () => Promise<DeliveryInfo>;
}

/** The service alone says what is right: here a type is only a promise to the caller. */
const as =
  <T>() =>
  (value: unknown): T =>
    value as T;

const ResumeInput = z.object({ lastEventId: z.string().nullish() }).optional();

export function createRouter({ service, gate, log, model, delivery }: RouterOptions) {
  const pow = router({
    init: procedure
      .input(as<InitBody>())
      .mutation(({ input, ctx }) => service.init(input, { signal: ctx.gone })),
    initGenerate: procedure
      .input(as<InitBody>())
      .mutation(({ input, ctx }) => service.initGenerate(input, { signal: ctx.gone })),
    initValidate: procedure
      .input(as<InitBody>())
      .mutation(({ input, ctx }) => service.initValidate(input, { signal: ctx.gone })),
    phaseGenerate: procedure.mutation(({ ctx }) => service.phaseGenerate({ signal: ctx.gone })),
    phaseValidate: procedure.mutation(({ ctx }) => service.phaseValidate({ signal: ctx.gone })),
    stop: procedure.mutation(() => service.stop()),
    validate: procedure
      .input(as<ProofBatch>())
      .mutation(async ({ input, ctx }) =>
        writeLists(await service.validate(input, { signal: ctx.gone })),
      ),
    status: procedure
      .input(as<StatusPage | undefined>())
      .query(({ input }) => service.status(input ?? {})),
    onValidNonces: procedure
      .input((value: unknown) => parseWith(ResumeInput, value, "body"))
      .subscription(({ input, ctx, signal }) =>
        stream(ctx, signal, (options) =>
          service.watchValidNonces({ ...options, lastEventId: input?.lastEventId ?? undefined }),
        ),
      ),
    onStatus: procedure
      // A client that reconnects names its last event; a status needs no past.
      .input((value: unknown) => parseWith(ResumeInput, value, "body"))
      .subscription(({ ctx, signal }) =>
        stream(ctx, signal, (options) =>
          service.watchStatus({
            ...options,
            inference: () => ({
              inference_refused: gate.counters.refused,
              inference_aborted: gate.counters.aborted,
            }),
          }),
        ),
      ),
  });

  const node = router({
    info: procedure.query(async (): Promise<NodeInfo> => {
      const { info } = model;
      return {
        version,
        poc_enabled: service.enabled,
        model: model.name,
        architecture: info?.architecture ?? null,
        arithmetic: info?.arithmetic ?? null,
        dtype: info?.dtype ?? null,
        device: info?.device ?? null,
        hidden_size: info?.hidden_size ?? null,
        vocab_size: info?.vocab_size ?? null,
        num_hidden_layers: info?.num_hidden_layers ?? null,
        max_position_embeddings: info?.max_position_embeddings ?? null,
        lost_log_lines: log.lost,
        max_seq_len: info?.max_seq_len ?? null,
        delivery: await delivery(),
      };
    }),
  });

  return router({ pow, node });
}

export type AppRouter = ReturnType<typeof createRouter>;

type Watch<T> = (options: WatchOptions) => AsyncGenerator<Tracked<T>, void>;

/** A stream of core's as tRPC gives it out, counted as long as it runs. */
async function* stream<T>(ctx: Context, signal: AbortSignal | undefined, watch: Watch<T>) {
  // What ends the consumer ends the generator too, also where the transport gives no signal.
  const ended = new AbortController();
  const end = () => ended.abort();
  const signals = [signal, ctx.ended].filter((each) => each != null);
  for (const each of signals) each.addEventListener("abort", end);
  if (signals.some((each) => each.aborted)) end();
  const unsubscribe = ctx.subscribe();
  try {
    const options = {
      signal: ended.signal,
      writable: () => ctx.writable(),
      nextTurn: () => ctx.nextTurn(),
    };
    for await (const { id, event } of watch(options)) yield tracked(id, event);
  } catch (error) {
    throw asTrpcError(error);
  } finally {
    unsubscribe();
    end();
    for (const each of signals) each.removeEventListener("abort", end);
  }
}
