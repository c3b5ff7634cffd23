// A chart over the whole page, with its values as a table, and as a file.
import { html, useState } from "../lib/html.js";
import { number } from "../lib/format.js";
import { t } from "../lib/i18n.js";
import { Chart } from "./chart.js";
import { asCsv, asPng, asSvg, save } from "./chart_files.js";
import { Dialog } from "./dialog.js";
import { attempt } from "./toast.js";

const MOST = 200; // rows of the table

/** @param {import("./chart.js").Chart} properties and `onClose` */
export function ChartDialog({ title, x, series, log, range, onZoom, formatX, onClose }) {
  const name = title.replaceAll(/[\s/]+/g, "-");
  const place = formatX ? t("curves.in_seconds", { x }) : x; // where places are numbers, not "12:30 min"
  const svg = () => asSvg(title, x, series, log, formatX);
  const files = [
    ["PNG", async () => save(`${name}.png`, await asPng(svg()))],
    ["SVG", () => save(`${name}.svg`, svg(), "image/svg+xml")],
    ["CSV", () => save(`${name}.csv`, asCsv(place, series), "text/csv")],
  ];
  return html`<${Dialog} title=${title} onClose=${onClose} wide>
    <${Chart} untitled title=${title} x=${x} series=${series} log=${log} range=${range}
      height=${Math.max(260, innerHeight * 0.5)} onZoom=${onZoom} formatX=${formatX} />
    <div class="row controls">
      <${Part} x=${place} range=${range} onZoom=${onZoom} series=${series} />
      ${files.map(
        ([kind, make]) => html`<button type="button" key=${kind} onClick=${() => attempt(make)}>
          ${t("curves.save", { kind })}</button>`,
      )}
    </div>
    <${Values} x=${x} series=${series} formatX=${formatX} />
  </${Dialog}>`;
}

/** The part that is looked at, for who does not drag. */
function Part({ x, range, onZoom, series }) {
  const [bounds, set] = useState(["", ""]);
  const ends = series.flatMap(({ x: places }) => [places[0], places[places.length - 1]]).filter(Number.isFinite);
  const go = (event) => {
    event.preventDefault();
    const whole = [Math.min(...ends), Math.max(...ends)];
    const [from, to] = bounds.map((text, at) => (text === "" ? whole[at] : Number(text)));
    if (to > from) onZoom([from, to]);
  };
  const field = (at, key) => html`<label class="row">${t(`curves.${key}`, { x })}
    <input type="number" step="any" value=${bounds[at]}
      onInput=${(event) => set(bounds.map((old, place) => (place === at ? event.target.value : old)))} /></label>`;
  return html`<form class="row grow" onSubmit=${go}>
    ${field(0, "from")} ${field(1, "to")}
    <button type="submit">${t("curves.show_part")}</button>
    ${range ? html`<button type="button" onClick=${() => onZoom(null)}>${t("curves.whole")}</button>` : null}
  </form>`;
}

function Values({ x, series, formatX = (value) => number(value, 6) }) {
  const [open, setOpen] = useState(false);
  const shown = series.filter(({ dim }) => !dim);
  const places = open ? [...new Set(shown.flatMap((each) => each.x))].sort((a, b) => b - a).slice(0, MOST) : [];
  const found = open ? shown.map((each) => new Map(each.x.map((place, at) => [place, each.y[at]]))) : [];
  const cell = (value) => (value === undefined ? "" : number(value, 6));
  return html`<details onToggle=${(event) => setOpen(event.target.open)}>
    <summary>${t("curves.values")}</summary>
    <p class="help">${t("curves.values_help", { count: MOST })}</p>
    <div class="scroll" tabindex="0" role="region" aria-label=${t("curves.values")}>
      <table>
        <thead><tr><th scope="col">${x}</th>
          ${shown.map(({ label }) => html`<th scope="col" key=${label}>${label}</th>`)}</tr></thead>
        <tbody>
          ${places.map((place) => html`<tr key=${place}><th scope="row">${formatX(place)}</th>
            ${found.map((values) => html`<td class="number">${cell(values.get(place))}</td>`)}</tr>`)}
        </tbody>
      </table>
    </div>
  </details>`;
}
