/** Waits for something, but no longer than a given time. */

/**
 * Resolves when `promise` has settled or `milliseconds` have passed, whichever comes first. Never
 * rejects.
 */
export function within(milliseconds: number, promise: Promise<unknown>): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, Math.max(0, milliseconds));
    const settled = () => {
      clearTimeout(timer);
      resolve();
    };
    promise.then(settled, settled);
  });
}
