/**
 * The finds, newest first, as a list of any length: only the rows that are seen exist. A table element
 * could not leave out the others, so roles say what is what.
 */

import { useSignal } from "@preact/signals";
import { toProofBatch } from "@proofmill/client";
import { useLayoutEffect, useRef } from "preact/hooks";
import { count, distance } from "../format.ts";
import { MOST_FINDS } from "../node/finds.ts";
import type { FollowedNode } from "../node/followed-node.ts";
import { copy } from "./copy.ts";
import { Card } from "./parts.tsx";

/** Pixels, as in the style. */
const ROW = 24;
const SEEN = 320;
/** Rows above and below those that are seen, so that a quick turn of the wheel finds some. */
const SPARE = 10;
/** What a node judges at once, unless it was told otherwise. */
const MOST_COPIED = 4096;

export function FindsCard({ node }: { node: FollowedNode }) {
  const { finds } = node;
  const total = finds.total.value;
  const { first } = finds;
  return (
    <Card title="Finds" name="finds">
      <FindsList key={finds.round.value?.round_id} node={node} />
      <p class="note" role="status">
        {count(total)} found
        {first > 0 &&
          `, of which the newest ${count(Math.min(total - first, MOST_FINDS))} are here`}
      </p>
      <Copies node={node} />
    </Card>
  );
}

function FindsList({ node }: { node: FollowedNode }) {
  const { finds } = node;
  const list = useRef<HTMLDivElement>(null);
  const top = useSignal(0);
  const total = finds.total.value;
  const rows = total - finds.first;
  const before = useRef(total);

  // Who reads further below goes on reading the same rows, whatever comes in above them.
  useLayoutEffect(() => {
    const added = total - before.current;
    before.current = total;
    if (list.current && list.current.scrollTop > 0) list.current.scrollTop += added * ROW;
  }, [total]);

  const from = Math.max(0, Math.min(rows, Math.floor(top.value / ROW)) - SPARE);
  const to = Math.min(rows, Math.ceil((top.value + SEEN) / ROW) + SPARE);
  return (
    <div class="finds-list" role="table" aria-label="Finds" aria-rowcount={rows + 1}>
      <div class="row head" role="row" aria-rowindex={1} tabIndex={-1}>
        <ColumnHead name="found" />
        <ColumnHead name="nonce" />
        <ColumnHead name="distance" />
      </div>
      <div
        class="rows"
        ref={list}
        role="rowgroup"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: the keyboard scrolls it
        tabIndex={0}
        aria-label="Rows of finds"
        onScroll={({ currentTarget }) => {
          top.value = currentTarget.scrollTop;
        }}
      >
        <div class="whole" role="presentation" style={{ height: `${rows * ROW}px` }}>
          {Array.from({ length: Math.max(0, to - from) }, (_, i) => {
            const index = total - 1 - (from + i);
            return (
              <div
                key={index}
                class="row"
                role="row"
                tabIndex={-1}
                aria-rowindex={from + i + 2}
                style={{ transform: `translateY(${(from + i) * ROW}px)` }}
              >
                <Cell text={count(index + 1)} />
                <Cell text={count(finds.nonce(index))} />
                <Cell text={distance(finds.distance(index))} />
              </div>
            );
          })}
        </div>
      </div>
    </div>
  );
}

function ColumnHead({ name }: { name: string }) {
  return (
    <span role="columnheader" tabIndex={-1}>
      {name}
    </span>
  );
}

function Cell({ text }: { text: string }) {
  return <span role="cell">{text}</span>;
}

function Copies({ node }: { node: FollowedNode }) {
  const many = useSignal(MOST_COPIED);
  const told = useSignal("");
  const { finds } = node;
  const run = async (what: string, text: () => string) => {
    const copied = Math.min(many.value, finds.total.value - finds.first);
    told.value = (await copy(text()))
      ? `${count(copied)} copied as ${what}`
      : "The browser does not let this page copy";
  };
  const status = node.status.value;
  const isOfRound = finds.round.value?.round_id === status?.round_id;
  const isEmpty = finds.total.value === finds.first || !status || !isOfRound;
  return (
    <div class="copies">
      <label>
        newest{" "}
        <input
          inputMode="numeric"
          maxLength={String(MOST_FINDS).length}
          value={many}
          onInput={({ currentTarget }) => {
            many.value = Math.max(1, Math.min(MOST_FINDS, Number(currentTarget.value) || 1));
          }}
        />
      </label>
      <button
        type="button"
        disabled={isEmpty}
        onClick={() => run("JSON", () => JSON.stringify(finds.newest(many.value)))}
      >
        Copy as JSON
      </button>
      <button
        type="button"
        disabled={isEmpty}
        title="The body that other nodes and proofmill validate take"
        onClick={() =>
          status &&
          run("a proof", () => JSON.stringify(toProofBatch(status, finds.newest(many.value))))
        }
      >
        Copy as proof
      </button>
      <output>{told}</output>
    </div>
  );
}
