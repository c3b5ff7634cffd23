// A chart of one metric: curves of one or more runs, zoomed by dragging, with a table for who cannot see it.
import uPlot from "../vendor/uplot.mjs";
import { html, useEffect, useRef } from "../lib/html.js";
import { number } from "../lib/format.js";

export const COLOURS = ["#3651c9", "#c2410c", "#15803d", "#a21caf", "#0e7490", "#b91c1c", "#4d7c0f", "#6d28d9"];

/**
 * @param {{title: string, x: string, series: {label: string, x: number[], y: number[], dim?: boolean}[],
 *          log?: boolean, height?: number}} properties
 *   `dim` draws a curve thin and pale, such as a raw one beside its smoothed one.
 */
export function Chart({ title, x, series, log = false, height = 240 }) {
  const element = useRef();
  const plot = useRef(null);
  const shape = JSON.stringify([title, x, log, height, series.map(({ label, dim }) => [label, dim])]);
  useEffect(() => {
    const ink = getComputedStyle(element.current).getPropertyValue("--ink-soft");
    const axis = { stroke: ink, grid: { stroke: ink + "33", width: 1 }, ticks: { stroke: ink + "33" } };
    plot.current = new uPlot(
      {
        width: element.current.clientWidth || 400,
        height,
        scales: { x: { time: false }, y: { distr: log ? 3 : 1 } },
        axes: [axis, { ...axis, size: 64, values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : number(tick, 3))) }],
        series: [
          { label: x },
          ...series.map(({ label, dim, colour }, index) => ({
            label,
            stroke: (colour ?? COLOURS[index % COLOURS.length]) + (dim ? "66" : ""),
            width: dim ? 1 : 2,
            spanGaps: true,
            points: { show: (chart, at) => chart.data[at].length < 3 },
            value: (_, value) => number(value),
          })),
        ],
      },
      joined(series),
      element.current,
    );
    const resized = new ResizeObserver(([entry]) => plot.current.setSize({ width: entry.contentRect.width, height }));
    resized.observe(element.current);
    return () => (resized.disconnect(), plot.current.destroy());
  }, [shape]);
  useEffect(() => plot.current.setData(joined(series)), [series]);
  const last = series.map(({ label, y }) => `${label}: ${number(y.findLast((value) => value !== null))}`).join(", ");
  return html`<figure class="chart">
    <figcaption>${title}</figcaption>
    <div ref=${element} role="img" aria-label=${`${title}. ${last}`}></div>
  </figure>`;
}

/** Curves over one common x, as uPlot wants them. */
function joined(series) {
  if (!series.length) return [[]];
  return series.length === 1
    ? [series[0].x, series[0].y]
    : uPlot.join(series.map(({ x, y }) => [x, y]));
}
