/** How much room token sessions get: pages of keys and values, by the memory that is left. */
import type { NativeModel, NativeSessionLimits } from "./binding.ts";
import {
  chunkBytes,
  DEFAULT_SESSIONS,
  PAGE_TOKENS,
  type SessionsOptions,
  STEP_ROWS,
  sizeText,
  stepBytes,
  USUAL_LENGTH,
} from "./model/memory.ts";
import type { ModelConfig } from "./model/model-config.ts";

/** Of what is left beside the weights, unless the operator says how much, or a search leaves less. */
const DEFAULT_SHARE = 1 / 4;
/** Pages that the cache has without a size of its own, however little is left. */
const LEAST_PAGES = 4;

interface SessionRoomOptions extends SessionsOptions {
  /** Tokens of the longest sequence. */
  maxModelLen: number;
  /** Bytes that this process may still take, where that is what counts; else the device's. */
  left: number;
}

interface SessionRoom {
  limits: NativeSessionLimits;
  /** What it takes: the cache, and a step's own memory with what its operations take. */
  bytes: number;
}

/**
 * The room for sessions on a loaded model. No more pages than sessions can fill.
 *
 * @throws RangeError naming the option that cannot be used, with the numbers
 */
export function sessionRoom(
  model: Pick<
    NativeModel,
    "pageBytes" | "memoryLeft" | "stepRows" | "stepScratchBytes" | "passBytes" | "longest"
  >,
  config: ModelConfig,
  { kvCacheMemory, maxNumSeqs = DEFAULT_SESSIONS, maxModelLen, left }: SessionRoomOptions,
): SessionRoom {
  if (!Number.isInteger(maxNumSeqs) || maxNumSeqs < 1 || maxNumSeqs > STEP_ROWS) {
    throw new RangeError(`--max-num-seqs is ${maxNumSeqs}, expected 1 … ${STEP_ROWS}`);
  }
  const ofDevice = model.memoryLeft();
  const onGpu = Number.isFinite(ofDevice);
  const available = onGpu ? ofDevice : left;
  const pageBytes = model.pageBytes();
  const step =
    stepBytes(config, maxNumSeqs, model.stepRows) +
    model.stepScratchBytes +
    (onGpu ? chunkBytes(config, maxNumSeqs, maxModelLen) : 0);
  // What a search takes on a CPU was counted before the model was loaded; a GPU's memory is known
  // only now.
  const search = onGpu ? model.passBytes(Math.min(USUAL_LENGTH, model.longest)) : 0;
  const useful = maxNumSeqs * Math.ceil(maxModelLen / PAGE_TOKENS);
  const budget =
    kvCacheMemory ??
    Math.max(
      Math.min(available * DEFAULT_SHARE, available - search) - step,
      LEAST_PAGES * pageBytes,
    );
  const pages = Math.min(useful, Math.floor(budget / pageBytes));
  const bytes = pages * pageBytes + step;
  if (!(pages >= 1)) {
    throw new RangeError(
      `--kv-cache-memory is ${sizeText(Math.max(budget, 0))}, expected at least ${sizeText(pageBytes)}: keys and values of ${PAGE_TOKENS} tokens`,
    );
  }
  if (bytes > available - search) {
    throw new RangeError(
      `inference needs ${sizeText(bytes)} of memory beside the weights and the search, ${sizeText(Math.max(available - search, 0))} are available; --no-inference or a smaller --kv-cache-memory needs less`,
    );
  }
  return {
    limits: {
      pages,
      max_sessions: maxNumSeqs,
      max_len: Math.min(maxModelLen, pages * PAGE_TOKENS),
      step_rows: model.stepRows,
    },
    bytes,
  };
}
