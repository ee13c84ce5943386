/** What the network's broker sends to a node's own paths, beside rounds. Free of Node. */
import { z } from "zod";
import { text } from "./fields.ts";

/** An inference server's command line may be long, but not without end. */
const MAX_ARGUMENTS = 1024;

/** What `inference/up` asks for: which model, and what its server is started with. */
export const UpRequest = z.object({
  model: text(),
  dtype: text(),
  additional_args: z.array(z.string().max(65_536)).max(MAX_ARGUMENTS).default([]),
});
export type UpRequest = z.output<typeof UpRequest>;

/** A model on the hub, by its name and a commit; null: any. */
export const ModelName = z.object({
  hf_repo: text(),
  hf_commit: text().nullable().default(null),
});
export type ModelName = z.output<typeof ModelName>;
