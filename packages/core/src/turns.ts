/** Whose turn it is when several want the runner. */

/** What a job is thought to take before the first one of its kind has ended, milliseconds. */
const FIRST_GUESS_MS = 500;

/** Milliseconds of the runner's time. */
interface Account {
  /** Of jobs that have ended. */
  spent: number;
  /** Of those that are under way, by guess. */
  pending: number;
  /** What the last job took. */
  guess: number;
}

/**
 * Shares the runner's time evenly between kinds of work that want it; what one leaves is the
 * others'. Time is what counts, not jobs: those of another length take many times as long. Who
 * wants nothing saves nothing up.
 */
export class Turns<Kind extends string> {
  readonly #accounts: ReadonlyMap<Kind, Account>;

  /** @param kinds the first comes first when accounts are equal */
  constructor(kinds: readonly Kind[]) {
    this.#accounts = new Map(
      kinds.map((kind) => [kind, { spent: 0, pending: 0, guess: FIRST_GUESS_MS }]),
    );
  }

  /** All kinds, the one that has had the least first. */
  order(): Kind[] {
    const had = ({ spent, pending }: Account) => spent + pending;
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
      this.#of(other).spent = Math.max(this.#of(other).spent, account.spent);
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
