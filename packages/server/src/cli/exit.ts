/** How a command ends other than well. */

/** Ends the command with this code, and with one line on stderr where there is something to say. */
export class Exit extends Error {
  override readonly name = "Exit";
  readonly code: number;

  constructor(code: number, message = "") {
    super(message);
    this.code = code;
  }
}
