/** What happens to a node's runners, callbacks and callers, as events. */
import type { RunnerInfo } from "@proofmill/core";
import type { GivenUp, Trouble } from "../callbacks/sender.ts";
import { count, type Told } from "./events.ts";

/**
 * @param info of a runner whose state is another
 * @param before the state before
 */
export function runnerEvent(
  { id, state, reason, restarts }: RunnerInfo,
  before: RunnerInfo["state"],
): Told {
  const why = reason === null ? "" : `: ${reason}`;
  switch (state) {
    case "alive":
      if (before === "stalled") {
        return { kind: "runner", text: `The runner ${id} goes on with its work` };
      }
      return {
        kind: "runner",
        text: `The runner ${id} ${restarts > 0 ? "is there again" : "has its model"}`,
      };
    case "restarting":
      return {
        kind: "runner",
        text: `The runner ${id} has ended and is started again${why}`,
        isBad: true,
      };
    case "lost":
      return { kind: "runner", text: `The runner ${id} is lost for good${why}`, isBad: true };
    case "stalled":
      return {
        kind: "runner",
        text:
          `The runner ${id} stands still: it has finished nothing of its work for far longer than ` +
          "usual, and is started again if that goes on",
        isBad: true,
      };
    case "loading":
      return { kind: "runner", text: `The runner ${id} loads its model` };
  }
}

/** @param origin of a page that was refused; it may be anything */
export function originEvent(origin: string): Told {
  const text = `Pages of ${origin} are refused: --allow-origin would let them in`;
  return { kind: "origin", text, isBad: true };
}

export function callbackEvent({ host, kind, scheme, reason }: Trouble): Told {
  const what = kind === "generated" ? (isOfArtifacts(scheme) ? "Artifacts" : "Finds") : "Verdicts";
  return reason === null
    ? { kind: "callback", text: `${what} are delivered to ${host} again` }
    : {
        kind: "callback",
        text: `${what} cannot be delivered to ${host}, they are tried again: ${reason}`,
        isBad: true,
      };
}

export function givenUpEvent({ nonces, verdicts, scheme, reason }: GivenUp): Told {
  const what = [
    ...(nonces > 0 ? [count(nonces, isOfArtifacts(scheme) ? "artifact" : "find")] : []),
    ...(verdicts > 0 ? [count(verdicts, "verdict")] : []),
  ];
  const text = `Callbacks are given up, ${what.join(" and ")}: ${reason}`;
  return { kind: "callback", text, isBad: true };
}

const isOfArtifacts = (scheme: string | null): boolean => scheme === "artifact";
