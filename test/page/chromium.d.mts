/** Why no browser can be started here; null: one can. */
export const noBrowser: string | null;
/** What playwright starts it with, without a window. */
export const LAUNCH: { executablePath?: string; args: string[] };
