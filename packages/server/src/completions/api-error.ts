/** What a request for an answer is refused with, in OpenAI's words. */
import { PocError } from "@proofmill/core";
import { TextError } from "../text/text-error.ts";

/** The object that OpenAI's clients read. */
export interface OpenAiError {
  message: string;
  type: string;
  param: string | null;
  code: string | null;
}

export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: number;
  readonly error: OpenAiError;
  /** Seconds after which it is worth another try. */
  readonly retryAfter: number | undefined;

  constructor(
    status: number,
    message: string,
    more: { param?: string; code?: string; retryAfter?: number } = {},
  ) {
    super(message);
    this.status = status;
    this.retryAfter = more.retryAfter;
    const { param = null, code = null } = more;
    this.error = { message, type: typeOf(status), param, code };
  }
}

function typeOf(status: number): string {
  if (status === 429) return "rate_limit_exceeded";
  if (status === 503) return "service_unavailable";
  return status >= 500 ? "server_error" : "invalid_request_error";
}

/** Any error as a refusal; one that nobody expected tells callers nothing of the node's inside. */
export function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof PocError) {
    const { status, message, retryAfter, code } = error;
    return new ApiError(status, message, {
      code: code.toLowerCase(),
      ...(retryAfter !== undefined && { retryAfter }),
    });
  }
  if (error instanceof TextError) {
    const { status, message, code } = error;
    return new ApiError(status, message, {
      ...(code !== null && { code }),
      ...(status === 429 && { retryAfter: 2 }),
    });
  }
  return new ApiError(500, "Internal Server Error");
}
