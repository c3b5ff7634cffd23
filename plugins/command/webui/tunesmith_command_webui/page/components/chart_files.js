// A chart as a file: PNG, SVG, CSV.
import { number } from "../lib/format.js";
import { look } from "./chart.js";

const WIDTH = 900;
const HEIGHT = 480;
const EDGE = { left: 70, right: 20, top: 40, bottom: 44 };

/** Have the browser save something. */
export function save(name, content, type) {
  const url = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
  const link = Object.assign(document.createElement("a"), { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

/** Curves as lines of a table: what they are of, where, and how much. */
export function asCsv(x, series) {
  const cell = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const lines = series.flatMap((each) => each.x.map((place, at) => `${cell(each.label)},${place},${each.y[at]}`));
  return [`curve,${cell(x)},value`, ...lines].join("\n") + "\n";
}

/** Curves as a picture of lines, on white. */
export function asSvg(title, x, series, log, formatX = (value) => number(value, 5)) {
  const shown = series.map((each) => ({ ...each, y: each.y.map((value) => (log && value <= 0 ? null : value)) }));
  const scaleX = scale(shown.flatMap((each) => each.x), [EDGE.left, WIDTH - EDGE.right]);
  const values = shown.flatMap((each) => each.y).filter((value) => value !== null);
  const scaleY = scale(values, [HEIGHT - EDGE.bottom, EDGE.top], log);
  const lines = shown.map((each, at) => line(each, at, scaleX, scaleY));
  const marks = [...grid(scaleX, true, formatX), ...grid(scaleY, false, (value) => number(value, 3))];
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}"
  font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#fff"/>
<text x="${EDGE.left}" y="20" font-size="15" font-weight="600">${escaped(title)}</text>
<text x="${WIDTH / 2}" y="${HEIGHT - 6}" text-anchor="middle">${escaped(x)}</text>
${[...marks, ...lines, ...names(series)].join("\n")}
</svg>
`;
}

/** The same picture as dots, twice as fine. */
export async function asPng(svg) {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
  await image.decode();
  const canvas = Object.assign(document.createElement("canvas"), { width: 2 * WIDTH, height: 2 * HEIGHT });
  canvas.getContext("2d").drawImage(image, 0, 0, 2 * WIDTH, 2 * HEIGHT);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

function scale(values, [from, to], log = false) {
  const form = log ? Math.log10 : (value) => value;
  const back = log ? (value) => 10 ** value : (value) => value;
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) [low, high] = [Math.min(low, form(value)), Math.max(high, form(value))];
  if (!(high > low)) [low, high] = Number.isFinite(low) ? [low - 1, low + 1] : [0, 1];
  const at = (value) => from + ((form(value) - low) / (high - low)) * (to - from);
  return { at, ticks: Array.from({ length: 6 }, (_, place) => back(low + ((high - low) * place) / 5)) };
}

function line({ x, y, dim, look: place }, at, scaleX, scaleY) {
  const { colour, dash } = look(place ?? at, false);
  const kept = x.map((value, index) => [value, y[index]]).filter(([, value]) => value !== null);
  const points = kept.map(([a, b]) => `${scaleX.at(a).toFixed(1)},${scaleY.at(b).toFixed(1)}`).join(" ");
  const style = `stroke="${colour}" stroke-width="${dim ? 1 : 2}" stroke-opacity="${dim ? 0.35 : 1}"`;
  return `<polyline fill="none" ${style} stroke-dasharray="${dash.join(" ")}" points="${points}"/>`;
}

function grid({ at, ticks }, vertical, form) {
  return ticks.map((tick) => {
    const place = at(tick).toFixed(1);
    const [x1, x2, y1, y2] = vertical
      ? [place, place, EDGE.top, HEIGHT - EDGE.bottom]
      : [EDGE.left, WIDTH - EDGE.right, place, place];
    const text = vertical
      ? `<text x="${place}" y="${HEIGHT - EDGE.bottom + 16}" text-anchor="middle">${escaped(form(tick))}</text>`
      : `<text x="${EDGE.left - 6}" y="${place}" dy="4" text-anchor="end">${escaped(form(tick))}</text>`;
    return `<line x1="${x1}" x2="${x2}" y1="${y1}" y2="${y2}" stroke="#ddd"/>${text}`;
  });
}

function names(series) {
  const shown = series.map((each, at) => ({ ...each, place: each.look ?? at })).filter(({ dim }) => !dim);
  return shown.map(({ label, place }, at) => {
    const { colour } = look(place, false);
    const y = EDGE.top + 14 + 15 * at;
    return `<text x="${WIDTH - EDGE.right}" y="${y}" text-anchor="end" fill="${colour}">${escaped(label)}</text>`;
  });
}

const escaped = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
