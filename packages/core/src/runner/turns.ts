/** Whose turn it is when several want the runner. */

/** What a job is thought to take before the first one of its kind has ended, milliseconds. */
const FIRST_GUESS_MS = 500;

/** Milliseconds of the runner's time. */
interface Account {
  /** Of the time, beside the others' shares. */
  readonly share: number;
  /** Of jobs that have ended. */
  spent: number;
  /** Of those that are under way, by guess. */
  pending: number;
  /** What the last job took. */
  guess: number;
}

/**
 * Shares the runner's time between kinds of work that want it; what one leaves is the others'.
 * Time is what counts, not jobs: those of another length take many times as long. Who wants nothing
 * saves nothing up.
 */
export class Turns<Kind extends string> {
  readonly #accounts: ReadonlyMap<Kind, Account>;

  /** @param shares kind → its share, > 0; the first kind comes first when none has had more */
  constructor(shares: Readonly<Record<Kind, number>>) {
    const accounts = Object.entries<number>(shares).map(
      ([kind, share]) =>
        [kind as Kind, { share, spent: 0, pending: 0, guess: FIRST_GUESS_MS }] as const,
    );
    this.#accounts = new Map(accounts);
  }

  /** All kinds, the one that has had the least of its share first. */
  order(): Kind[] {
    const had = ({ share, spent, pending }: Account) => (spent + pending) / share;
    return [...this.#accounts].sort(([, a], [, b]) => had(a) - had(b)).map(([kind]) => kind);
  }

  /**
   * A job of this kind is given to the runner.
   *
   * @param unwanting kinds that were asked before and had none
   * @returns what is to be told how many milliseconds the runner spent on it
   */
  take(kind: Kind, unwanting: readonly Kind[]): (milliseconds: number) => void {
    const account = this.#of(kind);
    for (const other of unwanting) {
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
