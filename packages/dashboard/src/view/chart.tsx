/** uPlot as a part of the page: as wide as there is room, in the page's colours. */
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { isDark } from "../now.ts";

/** The page's colours, as its style has them now. */
export interface Colours {
  readonly text: string;
  readonly grid: string;
  readonly line: string;
  readonly fill: string;
  readonly mark: string;
}

interface ChartProps {
  /** What it shows, for those who do not see it. */
  label: string;
  data: uPlot.AlignedData;
  /** Pixels; it keeps them, so that nothing below it jumps. */
  height: number;
  /** Must always be the same function, unless the chart is to be made anew. */
  options: (colours: Colours) => Omit<uPlot.Options, "width" | "height">;
}

export function Chart({ label, data, height, options }: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | null>(null);
  const dark = isDark.value;

  useEffect(() => {
    const element = place.current;
    if (!element) return;
    const made = new uPlot(
      { ...options(coloursOf(element)), width: element.clientWidth, height },
      data,
      element,
    );
    chart.current = made;
    const watcher = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height }));
    watcher.observe(element);
    return () => {
      watcher.disconnect();
      made.destroy();
      chart.current = null;
    };
  }, [options, height, dark]);

  useEffect(() => chart.current?.setData(data), [data]);

  return <div class="chart" ref={place} role="img" aria-label={label} />;
}

function coloursOf(element: Element): Colours {
  const style = getComputedStyle(element);
  const read = (name: string) => style.getPropertyValue(name).trim();
  return {
    text: read("--soft-text"),
    grid: read("--line"),
    line: read("--accent"),
    fill: read("--accent-soft"),
    mark: read("--mark"),
  };
}

/** An axis in the page's colours. */
export function axis({ text, grid }: Colours, more: uPlot.Axis = {}): uPlot.Axis {
  const line = { stroke: grid, width: 1 };
  return { stroke: text, grid: line, ticks: line, font: "12px system-ui, sans-serif", ...more };
}
