/** What the broker asks of models on the disk, answered by a node that holds one. */
import { ModelName, parseWith } from "@proofmill/core";
import { folderSize, freeSpace } from "../../platform/disk.ts";
import { Refused } from "./answer.ts";
import type { MlnodeOptions } from "./options.ts";

const GIGABYTE = 1024 ** 3;

export class Models {
  readonly #options: Pick<MlnodeOptions, "model" | "revision" | "modelFolder">;

  constructor(options: Pick<MlnodeOptions, "model" | "revision" | "modelFolder">) {
    this.#options = options;
  }

  status(body: unknown) {
    const model = parseWith(ModelName, body, "body");
    const status = this.#isHeld(model) ? "DOWNLOADED" : "NOT_FOUND";
    return { model, status, progress: null, error_message: null };
  }

  /** A node with one model has nothing to do with a second: it says so as an offline one does. */
  download(body: unknown) {
    const model = parseWith(ModelName, body, "body");
    const task_id = nameOf(model);
    return this.#isHeld(model)
      ? { task_id, status: "DOWNLOADED", model }
      : { task_id: `${task_id}:offline`, status: "IGNORED", model };
  }

  /** @throws Refused always: what is held is in use, and nothing else is here */
  remove(body: unknown): never {
    const model = parseWith(ModelName, body, "body");
    if (this.#isHeld(model)) throw new Refused(409, `Model ${nameOf(model)} is in use`);
    throw new Refused(404, `Model ${nameOf(model)} not found in cache`);
  }

  list() {
    const { model } = this.#options;
    const hf_commit = null;
    return { models: [{ model: { hf_repo: model.name, hf_commit }, status: "DOWNLOADED" }] };
  }

  async space() {
    const cache_path = this.#options.modelFolder() ?? "";
    const [size, free] = await Promise.all([folderSize(cache_path), freeSpace(cache_path)]);
    return { cache_size_gb: size / GIGABYTE, available_gb: free / GIGABYTE, cache_path };
  }

  #isHeld({ hf_repo, hf_commit }: ModelName): boolean {
    const { model, revision } = this.#options;
    return model.isNamed(hf_repo) && (hf_commit === null || hf_commit === revision);
  }
}

function nameOf({ hf_repo, hf_commit }: ModelName): string {
  return `${hf_repo}:${hf_commit ?? "latest"}`;
}
