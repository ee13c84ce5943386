/** How fast the node searches: now, over the last hour, and as a line. */
import { useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import type uPlot from "uplot";
import { count, rate, timeOfDay } from "../format.ts";
import type { FollowedNode } from "../node/followed-node.ts";
import { axis, Chart, type Colours } from "./chart.tsx";
import { Card, Figures } from "./parts.tsx";

const HOUR_MS = 3_600_000;
/** What a chart shows at least. */
const LEAST_MS = 60_000;

const SPANS = {
  "10 minutes": 600_000,
  "1 hour": HOUR_MS,
  "24 hours": 24 * HOUR_MS,
} as const;
type Span = keyof typeof SPANS;

function options(colours: Colours): Omit<uPlot.Options, "width" | "height"> {
  return {
    legend: { show: false },
    cursor: { y: false },
    padding: [null, 32, null, null], // half of a time of day
    scales: { y: { range: (_, _low, high) => [0, high > 0 ? high * 1.1 : 1] } },
    axes: [
      axis(colours, {
        values: (_, times) => times.map((each) => timeOfDay(each * 1000)),
        space: 90,
      }),
      axis(colours, { values: (_, rates) => rates.map(rate), size: 72 }),
    ],
    series: [{}, { stroke: colours.line, fill: colours.fill, width: 1.5, points: { show: false } }],
  };
}

export function RateCard({ node }: { node: FollowedNode }) {
  const span = useSignal<Span>("10 minutes");
  const { minutes, day } = node;
  const grown = node.grown.value;
  const milliseconds = SPANS[span.value];
  const data = useMemo(() => {
    const series = milliseconds <= SPANS["10 minutes"] ? minutes : day;
    const end = series.at.at(-1) ?? Date.now();
    // A node that has begun just now fills its chart all the same.
    const known = Math.min(series.at[0] ?? end, end - LEAST_MS);
    return series.chart(Math.max(end - milliseconds, known), end);
  }, [grown, milliseconds, minutes, day]);
  const round = node.round.value;
  const ofNow = rate(node.rateNow.value);
  return (
    <Card title="Rate" name="rate">
      <Figures
        of={{
          "nonces/s now": ofNow,
          "over the last hour": rate(day.meanSince((day.at.at(-1) ?? 0) - HOUR_MS)),
          "in this round": rate(round?.rate_per_second),
          "nonces checked": count(round?.total_checked),
        }}
      />
      <fieldset class="choice">
        <legend class="unseen">Time that the line shows</legend>
        {(Object.keys(SPANS) as Span[]).map((each) => (
          <label key={each}>
            <input
              type="radio"
              name="span"
              checked={span.value === each}
              onChange={() => {
                span.value = each;
              }}
            />
            {each}
          </label>
        ))}
      </fieldset>
      <Chart
        label={`Nonces per second over ${span.value}; now ${ofNow}`}
        data={data}
        height={250}
        options={options}
      />
    </Card>
  );
}
