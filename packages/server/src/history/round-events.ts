/** Follows a service's rounds and its store, for the events. */
import type { PocService, RoundSummary } from "@proofmill/core";
import { count, type Tell } from "./events.ts";

const NOW: Readonly<Record<RoundSummary["state"], string>> = {
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
  let last: RoundSummary = service.summary();
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
    const status = service.summary();
    const before = last;
    last = status;
    if (state === before.state && status.round_id === before.round_id) return;
    const isNew = status.round_id !== before.round_id;
    const wasSearched = before.state === "GENERATING";
    // The counts that stood when the next round began are its last: what came later was not counted.
    if (isNew && wasSearched) {
      tell({ kind: "round", text: `${nameOf(before)} gives way${yieldOf(before)}` });
    }
    const found = wasSearched && !isNew ? yieldOf(status) : "";
    tell({
      kind: "round",
      text: `${nameOf(status)} ${isNew ? "begins and " : ""}${doingOf(status)}${found}: ${service.cause}`,
    });
  };
  return service.on("change", onChange);
}

const isOfArtifacts = ({ scheme }: RoundSummary): boolean => scheme === "artifact";

const doingOf = (status: RoundSummary): string =>
  isOfArtifacts(status) && status.state === "GENERATING" ? "generates" : NOW[status.state];

function nameOf(status: RoundSummary): string {
  const { block_hash, block_height } = status;
  if (block_hash === null) return "The round";
  const what = isOfArtifacts(status) ? "The round of artifacts" : "The round";
  return `${what} of ${blockName({ block_hash, block_height })}`;
}

export function blockName(of: { block_hash: string; block_height: number | null }): string {
  return `block ${shown(of.block_hash)} (height ${of.block_height})`;
}

/** What a search came to; of artifacts each nonce is one, so their pace is told. */
function yieldOf(status: RoundSummary): string {
  const { total_checked, total_valid, rate_per_second } = status;
  if (isOfArtifacts(status)) {
    const pace = Math.round(rate_per_second * 60).toLocaleString("en");
    return ` after ${count(total_valid, "artifact")}, ${pace} a minute`;
  }
  return ` after ${count(total_checked, "nonce")}, ${total_valid.toLocaleString("en")} of them valid`;
}

/** A hash is long, and whoever begins a round writes it. */
const shown = (hash: string): string => (hash.length > 20 ? `${hash.slice(0, 20)}…` : hash);
