// A sweep: runs that differ in a few values, each planned before any is started.
import { html, useEffect, useId, useRef, useState } from "../../lib/html.js";
import { post } from "../../lib/api.js";
import { bytes, duration } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { read } from "../../lib/shapes.js";
import { Dialog } from "../../components/dialog.js";
import { searchable } from "../../components/options.js";
import { attempt, complain, tell } from "../../components/toast.js";

export function Sweep({ schema, draft, name, devices, machine, onClose }) {
  const options = choices(schema, draft.values);
  const [axes, setAxes] = useState([{ key: "trainer.learning_rate", text: "" }]);
  const [grid, setGrid] = useState(true);
  const [rows, setRows] = useState(null);
  const planning = useRef(null);
  useEffect(() => () => planning.current?.abort(), []);
  const changed = (next) => (planning.current?.abort(), setRows(null), setAxes(next));
  const put = (index, axis) => changed(axes.map((other, at) => (at === index ? axis : other)));
  const lay = () =>
    attempt(async () => {
      const given = axes.filter(({ key }) => key).map(({ key, text }) => ({ key, values: valuesOf(text, options.get(key)) }));
      const { items } = await post("sweep", { axes: given, grid });
      planning.current = new AbortController();
      setRows(items.map((overrides) => ({ overrides, state: "waiting" })));
      planAll(items, draft.values, machine, planning.current.signal, (index, row) =>
        setRows((now) => now?.map((other, at) => (at === index ? { ...other, ...row } : other))),
      ).catch((error) => error.name === "AbortError" || complain(error));
    });
  return html`<${Dialog} title=${t("train.sweepTitle")} onClose=${onClose} wide>
    <p class="help">${t("train.sweepHelp")}</p>
    ${axes.map((axis, index) => html`<${Axis} key=${index} axis=${axis} options=${options} onChange=${(next) => put(index, next)}
      onRemove=${axes.length > 1 ? () => changed(axes.filter((_, at) => at !== index)) : null} />`)}
    <div class="row">
      <button type="button" onClick=${() => changed([...axes, { key: "", text: "" }])}>${t("train.addAxis")}</button>
      <label><input type="checkbox" checked=${grid} onChange=${({ target }) => (setRows(null), setGrid(target.checked))} /> ${t("train.grid")}</label>
      <button type="button" class="main" onClick=${lay}>${t("train.planAll")}</button>
    </div>
    ${rows ? html`<${Rows} ...${{ rows, draft, name, devices, onClose }} />` : null}
  </${Dialog}>`;
}

/** By key what can vary: options of what is selected, and which plugin of a kind. */
function choices(schema, values) {
  const kinds = schema.kinds.filter((kind) => !kind.many && kind.plugins.length > 1 && kind.commands.includes("train"));
  const named = kinds.map(({ name, plugins }) => [name, { kind: "choice", choices: plugins.map((plugin) => plugin.name), optional: true }]);
  return new Map([...searchable(schema, values).map(({ at, option }) => [at, option.shape]), ...named]);
}

const valuesOf = (text, shape = { kind: "any" }) =>
  text.split(",").map((part) => part.trim()).filter(Boolean).map((part) => read(part, shape).value);

function Axis({ axis, options, onChange, onRemove }) {
  const id = useId();
  const shape = options.get(axis.key);
  const fault = axis.text && shape && axis.text.split(",").map((part) => read(part.trim(), shape).fault).find(Boolean);
  return html`<div class="row">
    <label class="grow">${t("train.option")}
      <input class="wide" list=${`${id}-keys`} value=${axis.key} aria-invalid=${Boolean(axis.key && !shape)}
        onInput=${({ target }) => onChange({ ...axis, key: target.value.trim() })} /></label>
    <datalist id=${`${id}-keys`}>${[...options.keys()].map((key) => html`<option value=${key} />`)}</datalist>
    <label class="grow">${t("train.values")}
      <input class="wide" value=${axis.text} placeholder=${shape?.choices?.join(", ") ?? "1e-5, 5e-5, 1e-4"} aria-invalid=${Boolean(fault)}
        onInput=${({ target }) => onChange({ ...axis, text: target.value })} /></label>
    ${onRemove ? html`<button type="button" aria-label=${`${t("field.remove")}: ${axis.key}`} onClick=${onRemove}>×</button>` : null}
    ${fault ? html`<p class="bad help">${t(`field.${fault[0]}`, fault[1])}</p>` : null}
  </div>`;
}

/** Plan the runs one after the other; each is told when it is known. */
async function planAll(items, values, machine, signal, told) {
  for (const [index, overrides] of items.entries()) {
    const { problems } = await post("compose", { values, overrides }, signal);
    const wrong = problems.find((problem) => problem.severity === "error");
    if (wrong) {
      told(index, { state: "wrong", why: wrong.message });
      continue;
    }
    const figures = await post("plan", { values, overrides, machine }, signal);
    const state = figures.fits === false ? "large" : figures.fits ? "fits" : "unknown";
    told(index, { state, peak: figures.peak?.bytes, seconds: figures.time?.total });
  }
}

function Rows({ rows, draft, name, devices, onClose }) {
  const [busy, setBusy] = useState(false);
  const possible = rows.filter(({ state }) => !["wrong", "large"].includes(state));
  const known = possible.filter(({ seconds }) => seconds);
  const total = known.reduce((all, { seconds }) => all + seconds, 0);
  const start = () =>
    attempt(async () => {
      setBusy(true);
      const tag = `${name || "sweep"}-${new Date().toISOString().slice(0, 16).replace(/[-:]/g, "")}`;
      try {
        for (const { overrides } of possible) {
          await post("train", { values: draft.values, overrides, devices, name: `${tag}/${labelOf(overrides)}`, tags: [tag] });
        }
      } finally {
        setBusy(false);
      }
      tell(t("train.sweepStarted", { count: possible.length, tag }));
      onClose();
      location.hash = "#runs";
    });
  return html`
    <div class="scroll"><table><thead><tr><th scope="col">#</th><th scope="col">${t("train.values")}</th>
      <th scope="col">${t("train.verdict")}</th><th scope="col">${t("train.memory")}</th><th scope="col">${t("train.time")}</th></tr></thead>
      <tbody>${rows.map(({ overrides, state, why, peak, seconds }, index) => {
        const out = state === "wrong" || state === "large";
        return html`<tr key=${index} class=${out ? "struck" : null}><td>${index + 1}</td>
          <td>${out ? html`<s>${overrides.join(" ")}</s>` : overrides.join(" ")}</td>
          <td>${t(`train.row.${state}`)}${why ? `: ${why}` : ""}</td>
          <td class="number">${peak ? bytes(peak) : "–"}</td><td class="number">${seconds ? duration(seconds) : "–"}</td></tr>`;
      })}</tbody></table></div>
    <p role="status">${t("train.sweepTotal", { count: possible.length, of: rows.length })}
      ${known.length === possible.length && known.length ? ` · ${duration(total)}` : ""}</p>
    <button type="button" class="main" disabled=${busy || !possible.length || rows.some(({ state }) => state === "waiting")} onClick=${start}>
      ${t("train.startAll", { count: possible.length })}</button>`;
}

/** What a run differs in, as its name: learning_rate-1e-4-rank-8. */
const labelOf = (overrides) =>
  overrides.map((word) => word.replace(/^[^=]*\.(?=[^=]*=)/, "").replace("=", "-").replace(/[^\w.-]+/g, "-")).join("-");
