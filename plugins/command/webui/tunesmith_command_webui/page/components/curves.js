// What runs logged, a tile for each kind of metric; of several runs the curves are over each other.
import { html, useMemo, useState } from "../lib/html.js";
import { duration, integer, number } from "../lib/format.js";
import { maybe, t } from "../lib/i18n.js";
import { Chart } from "./chart.js";
import { ChartDialog } from "./chart_dialog.js";
import { useCurves } from "./curves_data.js";

const AXES = ["step", "tokens", "time", "epoch"];
const POINTS = 1000; // of a curve
const MARKED = 60; // evaluations of which each has a mark; more would be a thick line
const START = { smoothing: 0.6, axis: "step", log: false, raw: true, more: [] };

/**
 * @param {{runs: string[]}} properties names of runs, which are watched as long as this is shown
 */
export function Curves({ runs }) {
  const [own, setOwn] = useState(kept);
  const [range, setRange] = useState(null);
  const [open, setOpen] = useState(null);
  const change = (values) => {
    localStorage.setItem("curves", JSON.stringify({ ...own, ...values }));
    setOwn({ ...own, ...values });
  };
  const view = { smoothing: own.smoothing, axis: own.axis, range, more: own.more, points: POINTS };
  const [data, errors] = useCurves(runs, view);
  const panels = useMemo(() => panelsOf(runs, data, own), [runs.join("\n"), data, own]);
  const formatX = own.axis === "time" ? duration : undefined;
  const x = t(`curves.axes.${own.axis}`);
  const zoom = (to) => setRange(to);
  const tile = ({ title, series, skipped }) => html`<div class="card" key=${title}>
    <${Chart} title=${panelName(title)} x=${x} series=${series} log=${own.log} range=${range}
      onZoom=${zoom} formatX=${formatX}>
      <button type="button" class="plain" aria-label=${t("curves.enlarge", { title: panelName(title) })}
        title=${t("curves.enlarge", { title: panelName(title) })} onClick=${() => setOpen(title)}>⤢</button>
    </${Chart}>
    ${skipped ? html`<p class="help">${t("curves.skipped", { count: skipped })}</p>` : null}
  </div>`;
  const large = panels.find(({ title }) => title === open);
  return html`<section class="curves" aria-label=${t("curves.name")}>
    <${Controls} own=${own} change=${change} range=${range} setRange=${setRange} data=${data} />
    ${[...errors].map(
      ([run, error]) => html`<p key=${run} class="soft">${runs.length > 1 ? `${run}: ` : ""}${error}</p>`,
    )}
    ${!data.size && !errors.size ? html`<p aria-busy="true">${t("page.loading")}</p>` : null}
    <div class="tiles">${panels.map(tile)}</div>
    ${large
      ? html`<${ChartDialog} title=${panelName(large.title)} x=${x} series=${large.series} log=${own.log} range=${range}
          onZoom=${zoom} formatX=${formatX} onClose=${() => setOpen(null)} />`
      : null}
  </section>`;
}

function kept() {
  try {
    return { ...START, ...JSON.parse(localStorage.getItem("curves") ?? "{}") };
  } catch {
    return START;
  }
}

function Controls({ own, change, range, setRange, data }) {
  const axes = AXES.filter((axis) => axis === "step" || [...data.values()].some((each) => each.axes.includes(axis)));
  const flip = (name) => html`<label class="row"><input type="checkbox" checked=${own[name]}
    onChange=${(event) => change({ [name]: event.target.checked })} />${t(`curves.${name}`)}</label>`;
  return html`<div class="row controls">
    <label class="row">${t("curves.smoothing")}
      <input type="range" min="0" max="0.999" step="0.001" value=${own.smoothing}
        onChange=${(event) => change({ smoothing: Number(event.target.value) })} />
      <output>${number(own.smoothing, 3)}</output>
    </label>
    <label class="row">${t("curves.axis")}
      <select value=${own.axis} onChange=${(event) => (setRange(null), change({ axis: event.target.value }))}>
        ${axes.map((axis) => html`<option value=${axis}>${t(`curves.axes.${axis}`)}</option>`)}
      </select>
    </label>
    ${flip("log")} ${flip("raw")}
    <${More} own=${own} change=${change} data=${data} />
    ${range ? html`<button type="button" onClick=${() => setRange(null)}>${t("curves.whole")}</button>` : null}
    <span class="help">${t("curves.zooming")}</span>
  </div>`;
}

/** The metrics that have no tile of their own unless they are chosen. */
function More({ own, change, data }) {
  const [search, setSearch] = useState("");
  const names = useMemo(() => {
    const hidden = [...data.values()].flatMap(({ metrics }) => metrics.filter(({ shown }) => !shown));
    return [...new Set(hidden.map(({ name }) => name))];
  }, [data]);
  if (!names.length) return null;
  const found = names.filter((name) => name.toLowerCase().includes(search.toLowerCase())).slice(0, 60);
  const flip = (name, on) => change({ more: on ? [...own.more, name] : own.more.filter((other) => other !== name) });
  return html`<details class="more">
    <summary>${t("curves.more", { count: integer(names.length) })}</summary>
    <div class="card">
      <label>${t("page.search")}
        <input type="search" value=${search} onInput=${(event) => setSearch(event.target.value)} /></label>
      ${found.map((name) => html`<label class="row" key=${name}>
        <input type="checkbox" checked=${own.more.includes(name)}
          onChange=${(event) => flip(name, event.target.checked)} />${name}</label>`)}
    </div>
  </details>`;
}

const panelName = (title) => maybe(`curves.panels.${title.replaceAll(/[^\w]+/g, "_")}`) ?? title;

/** The tiles: each with the curves of all runs that belong there. */
function panelsOf(runs, data, own) {
  const panels = new Map();
  for (const run of runs) {
    for (const metric of data.get(run)?.metrics ?? []) {
      const curve = data.get(run).curves[metric.name];
      if (!(metric.shown || own.more.includes(metric.name)) || !curve) continue;
      const { panel: title } = metric;
      if (!panels.has(title)) panels.set(title, { title, kinds: [], series: [], skipped: 0 });
      add(panels.get(title), metric, curve, runs, run, own);
    }
  }
  return [...panels.values()];
}

function add(panel, metric, curve, runs, run, own) {
  panel.skipped += metric.skipped;
  if (!curve.step.length) return;
  const kind = metric.short ? `${metric.short} ${metric.evaluation}` : metric.measured_on;
  if (!panel.kinds.includes(kind)) panel.kinds.push(kind);
  const at = panel.kinds.indexOf(kind);
  const look = runs.length > 1 ? (runs.indexOf(run) % 8) + 8 * at : at;
  const label = [runs.length > 1 ? run : "", metric.short, measured(metric)].filter(Boolean).join(" · ");
  const { x } = curve;
  const raw = { label: `${label} (${t("curves.raw_short")})`, x, y: curve.y, look, dim: true };
  if (curve.smooth && own.raw) panel.series.push(raw);
  const points = metric.evaluation && x.length <= MARKED;
  panel.series.push({ label, x, y: curve.smooth ?? curve.y, look, points });
}

/** "training", "evaluation chats" in the words of the page. */
function measured({ measured_on: on }) {
  const [what, ...set] = on.split(" ");
  return [t(`curves.${what}`), ...set].join(" ");
}
