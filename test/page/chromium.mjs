// Where the system's Chromium is: for tests of the page, for the soak and for the README's picture.
import { existsSync } from "node:fs";

const PLACES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

const executablePath = [process.env.PROOFMILL_CHROMIUM, ...PLACES].find(
  (place) => place !== undefined && existsSync(place),
);

/** Why no browser can be started here; null: one can. */
export const noBrowser =
  executablePath === undefined
    ? `there is no Chromium at ${PLACES.join(", ")}; PROOFMILL_CHROMIUM may name one`
    : null;

/** What playwright starts it with, without a window. */
export const LAUNCH = {
  ...(executablePath !== undefined && { executablePath }),
  args: ["--disable-gpu", ...(process.getuid?.() === 0 ? ["--no-sandbox"] : [])],
};
