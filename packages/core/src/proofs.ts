/** Proofs of distances that are computed again and judged: docs/protocol.md §3, `/validate`. */
import { configOf } from "./proof/distance/answers.ts";
import { distance } from "./proof/distance/scheme.ts";
import { inShort, judge, toValidateAnswer } from "./proof/distance/verdict.ts";
import { readRows } from "./proof/scheme.ts";
import type { Meter } from "./round/meter.ts";
import type { Rounds } from "./round/rounds.ts";
import type { Runners } from "./round/runners.ts";
import type { StoreWatch } from "./round/store-watch.ts";
import type { ValidationQueue } from "./round/validation.ts";
import type { Caller } from "./service-options.ts";
import type { Logger } from "./util/log.ts";
import { PocError } from "./wire/errors.ts";
import type { ProofBatch, ValidateAnswer } from "./wire/schemas.ts";

/** What of the service proofs are judged with. */
interface ProofsOptions {
  rounds: Rounds;
  runners: Runners;
  validations: ValidationQueue;
  storeWatch: StoreWatch;
  /** Nonces that a proof has at most. */
  maxValidateNonces: number;
  /** Checks a body, or takes it from who has checked it. */
  read: (body: unknown) => ProofBatch;
  /** Throws where nothing can be computed. */
  refuseUnlessServing: () => void;
  now: () => number;
  log: Logger;
  meter: Meter;
}

export class Proofs {
  readonly #options: ProofsOptions;

  constructor(options: ProofsOptions) {
    this.#options = options;
  }

  /** As `PocService.validate`. */
  async validate(body: unknown, caller: Caller): Promise<ValidateAnswer> {
    const { rounds, runners, validations, storeWatch, now, log, meter } = this.#options;
    const received = now();
    this.#options.refuseUnlessServing();
    const proof = this.#read(body);
    const round = rounds.currentOf(distance);
    if (!round) throw new PocError("NO_ROUND");
    const { round_id } = round.ledger;
    const config = configOf(round.ledger);
    const { callback_url } = config;
    const isPushed = rounds.state === "VALIDATING" && callback_url !== null;
    if (config.block_hash !== proof.block_hash) throw new PocError("BLOCK_HASH_MISMATCH");
    runners.refuseTooLong(config.seq_len);
    const recomputed =
      proof.nonces.length === 0
        ? { values: new Float32Array(0), arithmetic: runners.arithmetic ?? "" }
        : await validations.recompute({
            scheme: distance,
            config: { ...config, public_key: proof.public_key },
            nonces: proof.nonces,
            sizers: round.sizers,
            signal: isPushed ? undefined : caller.signal,
          });
    const { nonfinite } = readRows(distance, config, recomputed.values);
    if (nonfinite.length > 0) {
      const nonces = nonfinite.slice(0, 8).map((place) => proof.nonces[place]);
      const fields = { round_id, count: nonfinite.length, nonces };
      log.warn(fields, "results are not finite, their nonces are left out of the verdict");
    }
    const { values: distances, arithmetic } = recomputed;
    const batch = judge({ proof, distances, round: { ...config, round_id }, arithmetic });
    meter.judged(batch, (now() - received) / 1000);
    log.info(inShort(batch), "a proof is judged");
    if (isPushed) {
      const due = { callback_url, scheme: distance.name, kind: "validated", batch } as const;
      await storeWatch.keep("a verdict", (store) => store.enqueue(due));
    }
    return toValidateAnswer(batch);
  }

  #read(body: unknown): ProofBatch {
    const { read, maxValidateNonces } = this.#options;
    const proof = read(body);
    if (proof.nonces.length > maxValidateNonces) {
      const detail = `Too many nonces: ${proof.nonces.length}, at most ${maxValidateNonces}`;
      throw new PocError("TOO_MANY_NONCES", { detail });
    }
    return proof;
  }
}
