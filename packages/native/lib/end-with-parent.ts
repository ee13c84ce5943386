/** A process that must not outlive the one that started it. */
import { addon } from "./binding.ts";

/**
 * Has the kernel end this process with SIGKILL when its parent is gone, however that ends, and also
 * when this one is stopped by then. Linux alone can; elsewhere nothing happens.
 *
 * @param parent the parent's process id; where that is not the parent any more, this process ends
 * @throws Error when the addon cannot be loaded
 */
export function endWithParent(parent: number): void {
  addon.endWithParent(parent);
}
