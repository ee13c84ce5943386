/** What all parts of the page are made of. */
import type { ComponentChildren } from "preact";
import { brief } from "../brief.ts";
import { absolute, duration, isMoment, NOTHING } from "../format.ts";
import { now } from "../now.ts";

/** Characters of an address, a key, a field: browsers stand still when a line of millions is pasted. */
export const LONGEST_INPUT = 2048;

interface CardProps {
  title: string;
  /** For its place in the grid. */
  name: string;
  children: ComponentChildren;
}

export function Card({ title, name, children }: CardProps) {
  const id = `title-${name.split(" ")[0]}`;
  return (
    <section class={`card ${name}`} aria-labelledby={id}>
      <h2 id={id}>{title}</h2>
      {children}
    </section>
  );
}

/** Names with what they are, one below the other. */
export function Facts({ of }: { of: Readonly<Record<string, ComponentChildren>> }) {
  return (
    <dl class="facts">
      {Object.entries(of).map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{typeof value === "string" ? brief(value) : (value ?? NOTHING)}</dd>
        </div>
      ))}
    </dl>
  );
}

/** A few large figures beside each other. */
export function Figures({ of }: { of: Readonly<Record<string, string>> }) {
  return (
    <dl class="figures">
      {Object.entries(of).map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

interface TableProps {
  /** What its rows are, for who does not see it. */
  of: string;
  columns: readonly ComponentChildren[];
  /** The rows. */
  children: ComponentChildren;
}

/** Scrolls by itself where it is too wide. */
export function Table({ of, columns, children }: TableProps) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: the keyboard scrolls it
    <section class="wide" tabIndex={0} aria-label={`Table of ${of}`}>
      <table>
        <thead>
          <tr>
            {columns.map((column, index) => (
              <th key={index} scope="col">
                {column}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </section>
  );
}

/** A state in one word, which newer nodes may have more of. */
export function Pill({ state, isBad = false }: { state: string; isBad?: boolean }) {
  return (
    <span class={isBad ? "pill bad" : "pill"} data-state={state}>
      {state}
    </span>
  );
}

/** How long ago, and on hover when. */
export function Ago({ at }: { at: number }) {
  if (!isMoment(at)) return <span>{NOTHING}</span>;
  return (
    <time dateTime={new Date(at).toISOString()} title={absolute(at)}>
      {duration((now.value - at) / 1000)}
    </time>
  );
}
