// A sweep: runs that differ in a few values, each planned before any is started.
import { html, useEffect, useId, useRef, useState } from "../../lib/html.js";
import { post } from "../../lib/api.js";
import { t } from "../../lib/i18n.js";
import { read } from "../../lib/shapes.js";
import { Dialog } from "../../components/dialog.js";
import { searchable } from "../../components/options.js";
import { attempt, complain } from "../../components/toast.js";
import { Rows } from "./sweep_rows.js";

export function Sweep({ schema, draft, name, devices, machine, onClose }) {
  const options = choices(schema, draft.values);
  const [axes, setAxes] = useState([{ key: "trainer.learning_rate", text: "" }]);
  const [grid, setGrid] = useState(true);
  const [rows, setRows] = useState(null);
  const planning = useRef(null);
  useEffect(() => () => planning.current?.abort(), []);
  const changed = (next) => (planning.current?.abort(), setRows(null), setAxes(next));
  const put = (index, axis) => changed(axes.map((other, at) => (at === index ? axis : other)));
  const putRow = (index, row) =>
    setRows((now) => now?.map((other, at) => (at === index ? { ...other, ...row } : other)));
  const lay = () =>
    attempt(async () => {
      const named = axes.filter(({ key }) => key);
      const given = named.map(({ key, text }) => ({ key, values: valuesOf(text, options.get(key)) }));
      const { items } = await post("sweep", { axes: given, grid });
      planning.current?.abort();
      planning.current = new AbortController();
      setRows(items.map((overrides) => ({ overrides, state: "waiting", chosen: true })));
      planAll(items, draft.values, machine, planning.current.signal, putRow).catch(
        (error) => error.name === "AbortError" || complain(error),
      );
    });
  const laid = (all) => (planning.current?.abort(), setRows(null), setGrid(all));
  return html`<${Dialog} title=${t("train.sweepTitle")} onClose=${onClose} wide>
    <p class="help">${t("train.sweepHelp")}</p>
    ${axes.map(
      (axis, index) => html`<${Axis} key=${index} axis=${axis} options=${options} onChange=${(next) => put(index, next)}
        onRemove=${axes.length > 1 ? () => changed(axes.filter((_, at) => at !== index)) : null} />`,
    )}
    <div class="row">
      <button type="button" onClick=${() => changed([...axes, { key: "", text: "" }])}>${t("train.addAxis")}</button>
      <label><input type="checkbox" checked=${grid} onChange=${({ target }) => laid(target.checked)} />${" "}
        ${t("train.grid")}</label>
      <button type="button" class="main" onClick=${lay}>${t("train.planAll")}</button>
    </div>
    ${rows ? html`<${Rows} ...${{ rows, draft, name, devices, onClose, onRow: putRow }} />` : null}
  </${Dialog}>`;
}

/** By key what can vary: options of what is selected, and which plugin of a kind. */
function choices(schema, values) {
  const kinds = schema.kinds.filter((kind) => !kind.many && kind.plugins.length > 1 && kind.commands.includes("train"));
  const shapeOf = ({ plugins }) => ({ kind: "choice", choices: plugins.map(({ name }) => name), optional: true });
  const named = kinds.map((kind) => [kind.name, shapeOf(kind)]);
  return new Map([...searchable(schema, values).map(({ at, option }) => [at, option.shape]), ...named]);
}

const partsOf = (text) => text.split(",").map((part) => part.trim()).filter(Boolean);
const valuesOf = (text, shape = { kind: "any" }) => partsOf(text).map((part) => read(part, shape).value);

function Axis({ axis, options, onChange, onRemove }) {
  const id = useId();
  const shape = options.get(axis.key);
  const faults = shape ? partsOf(axis.text).map((part) => [part, read(part, shape).fault]) : [];
  const [part, fault] = faults.find(([, found]) => found) ?? [];
  return html`<div class="row">
    <label class="grow">${t("train.option")}
      <input class="wide" list=${`${id}-keys`} value=${axis.key} aria-invalid=${Boolean(axis.key && !shape)}
        onInput=${({ target }) => onChange({ ...axis, key: target.value.trim() })} /></label>
    <datalist id=${`${id}-keys`}>${[...options.keys()].map((key) => html`<option value=${key} />`)}</datalist>
    <label class="grow">${t("train.values")}
      <input class="wide" value=${axis.text} placeholder=${shape?.choices?.join(", ") ?? "1e-5, 5e-5, 1e-4"}
        aria-invalid=${Boolean(fault)} onInput=${({ target }) => onChange({ ...axis, text: target.value })} /></label>
    ${onRemove
      ? html`<button type="button" aria-label=${`${t("field.remove")}: ${axis.key}`} onClick=${onRemove}>×</button>`
      : null}
    ${fault ? html`<p class="bad help"><code>${part}</code>: ${t(`field.${fault[0]}`, fault[1])}</p>` : null}
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
