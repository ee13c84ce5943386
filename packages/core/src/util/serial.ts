/** Runs tasks one after another, in the order in which they came. A task that fails stops no other. */
export class Serial {
  #last: Promise<unknown> = Promise.resolve();

  /** Settles as `task` does, after every earlier task has settled. */
  run<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#last.then(task);
    this.#last = result.catch(() => {});
    return result;
  }
}
