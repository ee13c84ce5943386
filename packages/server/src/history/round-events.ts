/** Follows a service's rounds and its store, for the events. */
import type { PocService, StatusSummary } from "@proofmill/core";
import { count, type Tell } from "./events.ts";

const NOW: Readonly<Record<StatusSummary["state"], string>> = {
  IDLE: "waits for a command",
  GENERATING: "searches",
  VALIDATING: "validates",
  STOPPED: "is stopped",
};

/**
 * Tells how rounds begin, change and end, and whether they can be stored, until the returned function
 * is called.
 *
 * @param service one that is enabled
 */
export function tellRounds(service: PocService, tell: Tell): () => void {
  let last: StatusSummary = service.status({ limit: 1 });
  let lastFault = service.storeFault;

  const onChange = () => {
    const fault = service.storeFault;
    if (fault !== lastFault && (fault === null) !== (lastFault === null)) {
      tell(
        fault === null
          ? { kind: "store", text: "What was found can be stored again" }
          : { kind: "store", text: `Nothing can be stored: ${fault}`, isBad: true },
      );
    }
    lastFault = fault;
    const { state } = service;
    const status = service.status({ limit: 1 });
    const before = last;
    last = status;
    if (state === before.state && status.round_id === before.round_id) return;
    const { round_id, block_hash, block_height, total_checked, total_valid } = status;
    const isNew = round_id !== before.round_id;
    const found =
      before.state === "GENERATING" && !isNew
        ? ` after ${count(total_checked, "nonce")}, ${total_valid.toLocaleString("en")} of them valid`
        : "";
    const round =
      block_hash === null
        ? "The round"
        : `The round of block ${shown(block_hash)} (height ${block_height})`;
    tell({
      kind: "round",
      text: `${round} ${isNew ? "begins and " : ""}${NOW[state]}${found}: ${service.cause}`,
    });
  };
  return service.on("change", onChange);
}

/** A hash is long, and whoever begins a round writes it. */
const shown = (hash: string): string => (hash.length > 20 ? `${hash.slice(0, 20)}…` : hash);
