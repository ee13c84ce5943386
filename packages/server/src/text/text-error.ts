/** A refusal of text that the caller is meant to see. */
export class TextError extends Error {
  override readonly name = "TextError";
  /** As HTTP has it: 400, the text or the model's files are to blame; 429, too much is waiting. */
  readonly status: 400 | 429;

  constructor(status: 400 | 429, message: string) {
    super(message);
    this.status = status;
  }
}
