/** Which kind of work is next when several kinds want the runners' time. */

/** What a job is assumed to take before the first of its kind has ended, milliseconds. */
const FIRST_GUESS_MS = 500;

/** One kind's part in the time of all runners, in milliseconds. */
interface Account {
  /** How large a part it may have, relative to the other kinds' shares. */
  readonly share: number;
  /** What its jobs took that have ended. */
  spent: number;
  /** What its jobs under way will take, by guess. */
  pending: number;
  /** What its last job took, which is the guess for the next. */
  guess: number;
}

/**
 * Divides the time of all runners between kinds of work by their shares. A kind that has no work
 * leaves its part to the others, and is given nothing for that later. Time is counted, not jobs: a
 * job of long sequences takes many times as long as one of short ones.
 */
export class Turns<Kind extends string> {
  readonly #accounts: ReadonlyMap<Kind, Account>;

  /** @param shares kind → its share, > 0. Of kinds that are even, the one named first is next */
  constructor(shares: Readonly<Record<Kind, number>>) {
    const accounts = Object.entries<number>(shares).map(
      ([kind, share]) =>
        [kind as Kind, { share, spent: 0, pending: 0, guess: FIRST_GUESS_MS }] as const,
    );
    this.#accounts = new Map(accounts);
  }

  /** All kinds, first the one that has had the least time for its share. */
  order(): Kind[] {
    const had = ({ share, spent, pending }: Account) => (spent + pending) / share;
    return [...this.#accounts].sort(([, a], [, b]) => had(a) - had(b)).map(([kind]) => kind);
  }

  /**
   * A job of this kind is given to a runner.
   *
   * @param without the kinds before it in `order`, which had no job for that runner
   * @returns to be called when the job has ended, with the milliseconds that it took
   */
  take(kind: Kind, without: readonly Kind[]): (milliseconds: number) => void {
    const account = this.#of(kind);
    for (const other of without) {
      // As if it had used its part until now: it has no claim to what it left.
      const idle = this.#of(other);
      idle.spent = Math.max(idle.spent, (account.spent / account.share) * idle.share);
    }
    const { guess } = account;
    account.pending += guess;
    return (milliseconds) => {
      account.pending -= guess;
      account.spent += milliseconds;
      account.guess = milliseconds;
    };
  }

  #of(kind: Kind): Account {
    const account = this.#accounts.get(kind);
    if (!account) throw new RangeError(`no kind of work is called ${kind}`);
    return account;
  }
}
