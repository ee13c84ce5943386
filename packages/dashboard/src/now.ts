/** The time by the second, and whether the page is dark, which it never is on paper: what all of it follows. */
import { signal } from "@preact/signals";

/** ms since 1970. */
export const now = signal(Date.now());
setInterval(() => {
  now.value = Date.now();
}, 1000);

const dark = matchMedia("screen and (prefers-color-scheme: dark)");
export const isDark = signal(dark.matches);
dark.addEventListener("change", ({ matches }) => {
  isDark.value = matches;
});
