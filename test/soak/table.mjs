// The table that a soak ends with: a line for each figure, with its bound and whether that held.

/**
 * @param {{ name: string, bounds: Record<string, { least?: number, most?: number }>,
 *   figures: Record<string, number>, fault?: Error | null }} played a scenario; `fault` is what ended it
 * @returns {{ scenario: string, figure: string, value: string, bound: string, holds: boolean }[]} a
 *   figure that has a bound and was not measured does not hold
 */
export function rowsOf({ name, bounds, figures, fault = null }) {
  const names = [...new Set([...Object.keys(figures), ...Object.keys(bounds)])];
  const rows = names.map((figure) => {
    const { least = Number.NEGATIVE_INFINITY, most = Number.POSITIVE_INFINITY } =
      bounds[figure] ?? {};
    const value = figures[figure];
    return {
      scenario: name,
      figure,
      value: value === undefined ? "not measured" : String(Number(value.toPrecision(4))),
      bound: boundText(bounds[figure]),
      holds: value !== undefined && value >= least && value <= most,
    };
  });
  if (fault === null) return rows;
  const text = fault.message.split("\n")[0];
  return [...rows, { scenario: name, figure: "ended early", value: text, bound: "", holds: false }];
}

function boundText({ least, most } = {}) {
  if (least !== undefined && least === most) return `exactly ${least}`;
  const parts = [
    least === undefined ? "" : `at least ${least}`,
    most === undefined ? "" : `at most ${most}`,
  ];
  return parts.filter((part) => part !== "").join(", ");
}

/** The rows in columns, below a line of headings. */
export function linesOf(rows) {
  const cells = [
    ["scenario", "figure", "value", "bound", ""],
    ...rows.map(({ scenario, figure, value, bound, holds }) => [
      ...[scenario, figure, value, bound],
      holds ? "" : "BROKEN",
    ]),
  ];
  const widths = cells[0].map((_, column) => Math.max(...cells.map((row) => row[column].length)));
  return cells.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]))
      .join("  ")
      .trimEnd(),
  );
}
