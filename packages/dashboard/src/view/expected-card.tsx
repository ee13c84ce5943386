/** Whether the finds are those of random directions: how many, and at which distances. */
import { useMemo } from "preact/hooks";
import uPlot from "uplot";
import { count, decimal, NOTHING, probability } from "../format.ts";
import type { FollowedNode } from "../node/followed-node.ts";
import { Histogram, rangeOf } from "../node/histogram.ts";
import { type RandomDistance, randomDistance } from "../random-distance.ts";
import { axis, Chart, type Colours } from "./chart.tsx";
import { Card, Figures } from "./parts.tsx";

/** Digits of a distance under the chart. */
const DIGITS = 4;

function options(colours: Colours): Omit<uPlot.Options, "width" | "height"> {
  const bars = uPlot.paths.bars?.({ size: [1] });
  return {
    legend: { show: false },
    cursor: { show: false },
    scales: { x: { time: false }, y: { range: (_, _low, high) => [0, Math.max(1, high * 1.1)] } },
    axes: [
      axis(colours, { values: (_, each) => each.map((x) => decimal(x, DIGITS)), space: 70 }),
      axis(colours, { values: (_, each) => each.map((x) => decimal(x, 1)), size: 72 }),
    ],
    series: [
      {},
      {
        ...{ stroke: colours.line, fill: colours.fill, width: 1, points: { show: false } },
        ...(bars && { paths: bars }),
      },
      { stroke: colours.mark, width: 2, points: { show: false } },
    ],
    hooks: {
      // The target is the right end of what can be found.
      draw: [
        ({ ctx, bbox, data }) => {
          const [middles] = data;
          const half = ((middles[1] ?? 0) - (middles[0] ?? 0)) / 2;
          const x = bbox.left + (bbox.width * (2 * middles.length - 1)) / (2 * middles.length - 2);
          if (half <= 0) return;
          ctx.save();
          ctx.strokeStyle = colours.text;
          ctx.setLineDash([4, 4]);
          ctx.beginPath();
          ctx.moveTo(Math.min(x, bbox.left + bbox.width), bbox.top);
          ctx.lineTo(Math.min(x, bbox.left + bbox.width), bbox.top + bbox.height);
          ctx.stroke();
          ctx.restore();
        },
      ],
    },
  };
}

export function ExpectedCard({ node }: { node: FollowedNode }) {
  const status = node.status.value;
  const vocab_size = node.info.value?.vocab_size ?? null;
  const target = status?.r_target ?? null;
  const random = useMemo(
    () => (vocab_size === null ? null : randomDistance(vocab_size)),
    [vocab_size],
  );
  const share = useMemo(
    () => (random === null || target === null ? null : random.share(target)),
    [random, target],
  );
  const expected = share === null || !status ? null : share * status.total_checked;
  return (
    <Card title="Found and expected" name="expected">
      <Figures
        of={{
          found: count(status?.total_valid),
          expected: decimal(expected, expected !== null && expected >= 100 ? 0 : 2),
          "chance of each nonce": share === null ? NOTHING : probability(share),
        }}
      />
      {random !== null && target !== null && expected !== null ? (
        <DistanceChart node={node} {...{ random, target, checked: status?.total_checked ?? 0 }} />
      ) : (
        <div class="chart-place" />
      )}
      <p class="note">
        Finds by distance; the line is what random directions would give, the broken one r_target.
      </p>
    </Card>
  );
}

interface DistanceChartProps {
  node: FollowedNode;
  random: RandomDistance;
  target: number;
  checked: number;
}

function DistanceChart({ node, random, target, checked }: DistanceChartProps) {
  const { finds } = node;
  const total = finds.total.value;
  const round = finds.round.value?.round_id;
  const histogram = useMemo(
    () => new Histogram(finds, rangeOf(target, random)),
    [finds, round, random, target],
  );
  const data = useMemo((): uPlot.AlignedData => {
    histogram.count();
    const middles = histogram.middles();
    const curve = middles.map((x) => checked * random.density(x) * histogram.width);
    return [middles, [...histogram.counts], curve];
  }, [histogram, total, checked, random]);
  return (
    <Chart
      label={`${count(total)} finds by distance, up to r_target ${decimal(target, 9)}`}
      data={data}
      height={200}
      options={options}
    />
  );
}
