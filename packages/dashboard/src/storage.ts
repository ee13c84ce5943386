/** What the browser keeps for this page. Where it keeps nothing the page works, and forgets. */

/** Addresses of nodes outlive the tab; keys must not. */
export const KEEPS = {
  addresses: () => localStorage,
  keys: () => sessionStorage,
};

export function recall(storage: () => Storage, name: string): string | null {
  try {
    return storage().getItem(name);
  } catch {
    return null;
  }
}

/** @param text null: forget it */
export function keep(storage: () => Storage, name: string, text: string | null): void {
  try {
    if (text === null) storage().removeItem(name);
    else storage().setItem(name, text);
  } catch {
    // as if it were not asked to
  }
}
