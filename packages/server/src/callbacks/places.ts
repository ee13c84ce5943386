/** Bounds how many callbacks are under way at once: each takes a descriptor, and receivers may be thousands. */
import { CONNECTIONS_EACH } from "./request.ts";

/** Of one kind of delivery, to receivers of one standing. */
const MOST = 24;
/** So many hosts are remembered that have taken a callback. */
const MOST_KNOWN = 1024;

/** Whom a callback is for. */
interface Receiver {
  readonly kind: string;
  readonly host: string;
  /** Whether the last callback to it has failed. */
  readonly isFailing: boolean;
}

/** Places of one kind and standing, and of each host that wants any of them. */
interface Group {
  readonly line: Line;
  readonly hosts: Map<string, Line>;
}

/**
 * Places for callbacks, by what is known of who receives them: whoever hangs, and whoever names a
 * thousand hosts that do, keeps nobody waiting whose host has taken a callback before. No host gets
 * more places than it has connections, however many URLs it has: what waits for one of those would
 * use its time up, and the places of others.
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
    if (this.#isClosed) return null;
    const { host } = receiver;
    const { line, hosts } = this.#groupOf(receiver);
    const own = hosts.get(host) ?? new Line(CONNECTIONS_EACH);
    hosts.set(host, own);
    try {
      return await own.with(() => line.with(work));
    } finally {
      if (own.isEmpty) hosts.delete(host);
    }
  }

  /** Whoever waits gets no place any more. */
  close(): void {
    this.#isClosed = true;
    for (const { line, hosts } of this.#groups.values()) {
      for (const each of [line, ...hosts.values()]) each.close();
    }
  }

  /** The host has taken a callback. */
  remember(host: string): void {
    this.#known.delete(host);
    this.#known.add(host);
    const [oldest] = this.#known;
    if (this.#known.size > MOST_KNOWN && oldest !== undefined) this.#known.delete(oldest);
  }

  #groupOf({ kind, host, isFailing }: Receiver): Group {
    const name = `${kind} ${this.#known.has(host)} ${isFailing}`;
    const group = this.#groups.get(name) ?? { line: new Line(MOST), hosts: new Map() };
    this.#groups.set(name, group);
    return group;
  }
}

/** Lets so many in at once, the others in the order in which they came. */
class Line {
  readonly #most: number;
  #inside = 0;
  readonly #waiting = new Set<() => void>();
  #isClosed = false;

  constructor(most: number) {
    this.#most = most;
  }

  get isEmpty(): boolean {
    return this.#inside === 0;
  }

  async with<Result>(work: () => Promise<Result>): Promise<Result | null> {
    if (this.#inside < this.#most) this.#inside++;
    else await new Promise<void>((resolve) => this.#waiting.add(resolve));
    try {
      return this.#isClosed ? null : await work();
    } finally {
      // A place goes from hand to hand: whoever comes meanwhile does not take it.
      const [next] = this.#waiting;
      if (next) {
        this.#waiting.delete(next);
        next();
      } else this.#inside--;
    }
  }

  /** Whoever waits is let go; nobody gets in any more. */
  close(): void {
    this.#isClosed = true;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    this.#inside += waiting.length; // each of them leaves as if it had been inside
    for (const go of waiting) go();
  }
}
