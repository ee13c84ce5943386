/** A refusal of text that the caller is meant to see. */
export class TextError extends Error {
  override readonly name = "TextError";
  /** As HTTP has it: 400, the text or the model's files are to blame; 429, too much is waiting. */
  readonly status: 400 | 429;
  /** OpenAI's name for the reason, where it has one. */
  readonly code: string | null;

  constructor(status: 400 | 429, message: string, code: string | null = null) {
    super(message);
    this.status = status;
    this.code = code;
  }
}
