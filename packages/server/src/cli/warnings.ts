/** What commands hear from a model that they load themselves. */
import { type Logger, silentLog } from "@proofmill/core";
import { say } from "../platform/output.ts";

/** Warnings are said to people; how a load gets on is not. */
export const warnings: Logger = { ...silentLog, warn: (_, message) => say(message) };
