/** A question before something is done: nothing is done unless it is confirmed. */

import { useSignal } from "@preact/signals";
import { InvalidRequestError } from "@proofmill/client";
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { brief } from "../brief.ts";

/** Faults of one form that are shown. */
const MOST_FAULTS = 20;

interface DialogProps {
  title: string;
  /** On the button that does it. */
  verb: string;
  /** Does it, with what the form holds; what it throws is shown, and the dialog stays. */
  act: (form: FormData) => Promise<unknown>;
  close: () => void;
  children?: ComponentChildren;
}

export function Dialog({ title, verb, act, close, children }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const faults = useSignal<readonly string[]>([]);
  const isBusy = useSignal(false);
  useLayoutEffect(() => dialog.current?.showModal(), []);

  const submit = async (form: HTMLFormElement) => {
    // The button is drawn as disabled a moment after the first of two clicks.
    if (isBusy.peek()) return;
    isBusy.value = true;
    faults.value = [];
    try {
      await act(new FormData(form));
      dialog.current?.close(); // by which the focus goes back to where it came from
    } catch (error) {
      faults.value = faultsIn(error);
    }
    isBusy.value = false;
  };
  return (
    <dialog ref={dialog} aria-label={title} onClose={close}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void submit(event.currentTarget);
        }}
      >
        <h2>{title}</h2>
        {children}
        <div role="alert">
          {faults.value.map((each) => (
            <p key={each} class="fault">
              {brief(each)}
            </p>
          ))}
        </div>
        <div class="buttons">
          <button type="button" onClick={() => dialog.current?.close()}>
            Cancel
          </button>
          <button type="submit" class="main" disabled={isBusy}>
            {verb}
          </button>
        </div>
      </form>
    </dialog>
  );
}

/** The node's own words, a line for each field that it does not take. */
function faultsIn(error: unknown): string[] {
  if (error instanceof InvalidRequestError && error.issues.length > 0) {
    // Callers of the older service know messages that begin so; to people it says nothing.
    const plain = (msg: string) => msg.replace(/^Value error, /, "");
    return error.issues
      .slice(0, MOST_FAULTS)
      .map(({ loc, msg }) => `${loc.slice(1).join(".")}: ${plain(msg)}`);
  }
  return [error instanceof Error ? error.message : String(error)];
}
