// A chart of one metric or several: curves over a common axis, zoomed by dragging, whole again by a double click.
import uPlot from "../vendor/uplot.mjs";
import { html, useEffect, useRef, useState } from "../lib/html.js";
import { number } from "../lib/format.js";

/** Of curves on a light page, and on a dark one; told apart by all kinds of eyes as far as eight can be. */
const COLOURS = [
  ["#3651c9", "#93a6ff"],
  ["#c2410c", "#fb9a63"],
  ["#15803d", "#5fd38a"],
  ["#a21caf", "#e58cf0"],
  ["#0e7490", "#56c7e0"],
  ["#b91c1c", "#ff8f8f"],
  ["#4d7c0f", "#a9d65c"],
  ["#6d28d9", "#b79cff"],
];
/** Seconds between two marks of an axis of time, and pixels, for which "12:30 min" is long. */
const MARKS = [1, 2, 5, 10, 20, 30, ...[1, 2, 5, 10, 20, 30, 60, 120, 360, 720].map((minutes) => 60 * minutes)];
const LONG = [1, 2, 5, 10, 20, 50, 100].map((days) => 86400 * days);
const WIDE = 90;
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3]];

/** The colour and the dashes of the nth curve. */
export function look(index, dark) {
  return { colour: COLOURS[index % COLOURS.length][dark ? 1 : 0], dash: DASHES[Math.floor(index / 8) % DASHES.length] };
}

/** Whether the page is dark now. */
export function useDark() {
  const [dark, set] = useState(isDark);
  useEffect(() => {
    const changed = () => set(isDark());
    const media = matchMedia("(prefers-color-scheme: dark)");
    const observer = new MutationObserver(changed);
    observer.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    media.addEventListener("change", changed);
    return () => (observer.disconnect(), media.removeEventListener("change", changed));
  }, []);
  return dark;
}

function isDark() {
  const theme = document.documentElement.dataset.theme;
  return theme === "dark" || (theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
}

/**
 * @param {{title: string, x: string, log?: boolean, height?: number, range?: [number, number] | null,
 *          series: {label: string, x: number[], y: number[], look?: number, dim?: boolean, points?: boolean}[],
 *          onZoom?: (range: [number, number] | null) => void, formatX?: (value: number) => string,
 *          untitled?: boolean, children?: any}} properties
 *   `look` numbers colour and dashes, the place in the list by default; `dim` draws a curve thin and pale, as a raw one
 *   behind its smoothed one; `points` marks each value, as of evaluations. `children` stand beside the title,
 *   which is not shown where `untitled`. `formatX` writes seconds.
 */
export function Chart(properties) {
  const { title, x, series, log = false, height = 220, range = null, onZoom, formatX, untitled, children } = properties;
  const element = useRef();
  const plot = useRef(null);
  const dark = useDark();
  const shape = JSON.stringify([x, log, height, dark, series.map((each) => [each.label, each.dim, each.look])]);
  const shown = useRef(range);
  shown.current = range;
  const zoom = useRef(); // the newest function, for a plot lives longer than one drawing of this component
  zoom.current = onZoom;
  useEffect(() => {
    const own = { x, series, log, height, dark, shown, onZoom: (to) => zoom.current?.(to), formatX };
    plot.current = new uPlot(options(own, element.current), joined(series), element.current);
    const resized = new ResizeObserver(([entry]) => plot.current.setSize({ width: entry.contentRect.width, height }));
    resized.observe(element.current);
    return () => (resized.disconnect(), plot.current.destroy());
  }, [shape]);
  useEffect(() => whenSeen(() => plot.current.setData(joined(series))), [series, range?.[0], range?.[1]]);
  const last = series
    .filter(({ dim }) => !dim)
    .map(({ label, y }) => `${label}: ${number(y[y.length - 1])}`)
    .join(", ");
  return html`<figure class="chart">
    <figcaption class=${untitled ? "unseen" : "row"}><span class="grow">${title}</span>${children}</figcaption>
    <div ref=${element} role="img" aria-label=${`${title}. ${last}`}></div>
  </figure>`;
}

/** Do something now, or when the page is looked at again; what is returned takes it back. */
function whenSeen(what) {
  if (!document.hidden) return void what();
  const seen = () => document.hidden || (document.removeEventListener("visibilitychange", seen), what());
  document.addEventListener("visibilitychange", seen);
  return () => document.removeEventListener("visibilitychange", seen);
}

function options({ x, series, log, height, dark, shown, onZoom, formatX }, element) {
  const ink = getComputedStyle(element).color;
  const faint = ink.replace("rgb(", "rgba(").replace(")", ", 0.2)");
  const axis = { stroke: ink, grid: { stroke: faint, width: 1 }, ticks: { stroke: faint }, font: "12px system-ui" };
  const ticks = (form) => (_, values) => values.map((value) => (value === null ? "" : form(value)));
  return {
    width: element.clientWidth || 400,
    height,
    cursor: { sync: { key: `curves ${x}` }, drag: { x: true, y: false, setScale: false } },
    scales: {
      x: { time: false, range: (_, low, high) => shown.current ?? spread(low, high) },
      y: { distr: log ? 3 : 1 },
    },
    axes: [
      formatX
        ? { ...axis, values: ticks(formatX), incrs: [...MARKS, ...LONG], space: WIDE }
        : { ...axis, values: ticks((value) => number(value, 6)) },
      { ...axis, size: 64, values: ticks((value) => number(value, 3)) },
    ],
    hooks: { setSelect: [(chart) => zoomed(chart, onZoom)] },
    series: [
      { label: x, value: (_, value) => (value === null ? "–" : (formatX ?? number)(value)) },
      ...series.map((each, at) => drawn(each, at, dark)),
    ],
    plugins: [{ hooks: { ready: (chart) => chart.over.addEventListener("dblclick", () => onZoom(null)) } }],
  };
}

function drawn({ label, dim, look: place, points }, at, dark) {
  const { colour, dash } = look(place ?? at, dark);
  return {
    label,
    class: dim ? "dim" : null,
    stroke: dim ? `${colour}59` : colour,
    width: dim ? 1 : 2,
    dash,
    spanGaps: true,
    points: { show: (chart, index) => points || isLonely(chart.data[index]), size: 6, fill: colour },
    value: (_, value) => number(value),
  };
}

/** Whether a curve has too few points for a line; where other curves have one it has a null. */
function isLonely(values) {
  let count = 0;
  for (const value of values) {
    if (value !== null && value !== undefined && ++count > 2) return false;
  }
  return true;
}

/** A single point is in the middle of its axis. */
function spread(low, high) {
  return low === high ? [low - 1, high + 1] : [low, high];
}

function zoomed(chart, onZoom) {
  const { left, width } = chart.select;
  if (width > 4) onZoom([chart.posToVal(left, "x"), chart.posToVal(left + width, "x")]);
  chart.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
}

/** Curves over one common x, as uPlot wants them. */
export function joined(series) {
  if (!series.length) return [[]];
  return series.length === 1 ? [series[0].x, series[0].y] : uPlot.join(series.map(({ x, y }) => [x, y]));
}
