/** What core asks of a logger: a part of pino's interface. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export const silentLog: Logger = { debug() {}, info() {}, warn() {}, error() {} };
