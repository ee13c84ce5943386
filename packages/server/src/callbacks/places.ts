/** Bounds how many callbacks are under way at once: each takes a descriptor, and receivers may be thousands. */

/** Of one kind of delivery, to receivers of one standing. */
const MOST = 32;
/** So many hosts are remembered that have taken a callback. */
const MOST_KNOWN = 1024;

/** Whom a callback is for. */
interface Receiver {
  readonly kind: string;
  readonly host: string;
  /** Whether the last callback to it has failed. */
  readonly isFailing: boolean;
}

interface Group {
  taken: number;
  readonly waiting: Set<() => void>;
}

/**
 * Places for callbacks, by what is known of who receives them: whoever hangs, and whoever names a
 * thousand hosts that do, keeps nobody waiting whose host has taken a callback before.
 */
export class Places {
  readonly #groups = new Map<string, Group>();
  /** Hosts that have taken a callback, the last one at the end. */
  readonly #known = new Set<string>();
  #isClosed = false;

  /**
   * Does the work once there is a place.
   *
   * @returns what it gives; null where there are no places any more
   */
  async with<Result>(receiver: Receiver, work: () => Promise<Result>): Promise<Result | null> {
    const group = this.#groupOf(receiver);
    while (group.taken >= MOST && !this.#isClosed) {
      await new Promise<void>((resolve) => {
        const go = () => {
          group.waiting.delete(go);
          resolve();
        };
        group.waiting.add(go);
      });
    }
    if (this.#isClosed) return null;
    group.taken++;
    try {
      return await work();
    } finally {
      group.taken--;
      const [next] = group.waiting;
      next?.();
    }
  }

  /** Whoever waits gets no place any more. */
  close(): void {
    this.#isClosed = true;
    for (const { waiting } of this.#groups.values()) for (const go of waiting) go();
  }

  /** The host has taken a callback. */
  remember(host: string): void {
    this.#known.delete(host);
    this.#known.add(host);
    const [oldest] = this.#known;
    if (this.#known.size > MOST_KNOWN && oldest !== undefined) this.#known.delete(oldest);
  }

  #groupOf({ kind, host, isFailing }: Receiver): Group {
    const standing = isFailing ? "failing" : this.#known.has(host) ? "known" : "unknown";
    const name = `${kind} ${standing}`;
    const group = this.#groups.get(name) ?? { taken: 0, waiting: new Set() };
    this.#groups.set(name, group);
    return group;
  }
}
