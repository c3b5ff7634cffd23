// Runs side by side: curves over each other, what differs, what they took and reached.
import { html, useEffect, useState } from "../../lib/html.js";
import { post, request } from "../../lib/api.js";
import { t } from "../../lib/i18n.js";
import { Copy } from "../../components/copy.js";
import { Curves } from "../../components/curves.js";
import { RunPicker } from "../../components/run_picker.js";
import { Table } from "../../components/table.js";
import { attempt } from "../../components/toast.js";
import { PairTable } from "../evaluate/pair.js";
import { measured } from "../evaluate/words.js";
import { compareLink, link } from "./links.js";
import { figure, value } from "./words.js";

export function Compare({ names }) {
  const [found, set] = useState(null);
  const [error, setError] = useState(null);
  const alone = names.length < 2;
  useEffect(() => void (alone || post("runs/compare", { names }).then(set, setError)), []);
  const choose = (chosen) => {
    location.hash = chosen.length ? compareLink(chosen) : "#runs";
  };
  return html`<div class="comparison">
    <p class="soft back"><a href="#runs">${t("runs.back")}</a></p>
    <${RunPicker} multiple label=${t("runs.compared")} value=${names} onChange=${choose} />
    ${error ? html`<p role="alert" class="bad">${error.message}</p>` : null}
    ${alone ? html`<p role="status">${t("runs.second", { name: names[0] })}</p>` : null}
    ${!alone && !found && !error ? html`<p aria-busy="true">${t("page.loading")}</p>` : null}
    ${found ? html`<${Found} names=${names} found=${found} />` : null}
  </div>`;
}

function Found({ names, found }) {
  const known = (name) => found.runs.some((run) => run.figures[name] !== null);
  const figures = Object.keys(found.runs[0].figures).filter(known);
  return html`<div>
    <${Keep} names=${names} />
    <${SideBySide} caption=${t("runs.reached")} names=${names} rows=${figures.map((name) => ({
      key: name,
      label: t(`runs.figures.${name}`),
      values: found.runs.map((run) => figure(name, run.figures[name])),
    }))} />
    <${SideBySide} caption=${t("runs.differences")} names=${names} rows=${found.differences.map(({ key, values }) => ({
      key,
      label: html`<code>${breakable(key)}</code>`,
      values: values.map(value),
    }))} />
    ${found.differences.length ? null : html`<p class="soft">${t("runs.no_differences")}</p>`}
    <h2>${t("runs.curves")}</h2>
    <${Curves} runs=${names} />
    ${found.evaluations.length ? html`<${Evaluations} names=${names} rows=${found.evaluations} />` : null}
  </div>`;
}

/** An option's key, which may go on in the next line behind a point, and not within a word. */
function breakable(key) {
  return key.split(/(?<=\.)/).map((part) => html`${part}<wbr />`);
}

function SideBySide({ caption, names, rows }) {
  if (!rows.length) return null;
  const own = (name, index) => ({
    key: name,
    label: html`<a href=${link("runs", name)}>${name}</a>`,
    cell: (row) => html`<span class="wraps">${row.values[index]}</span>`,
  });
  const columns = [{ key: "what", label: t("runs.what"), head: true, cell: (row) => row.label }, ...names.map(own)];
  return html`<${Table} titled caption=${caption} columns=${columns} rows=${rows} rowKey=${(row) => row.key} />`;
}

function Evaluations({ names, rows }) {
  const shown = rows.map(({ evaluator, dataset, metric, values }) => ({
    key: `${evaluator} ${dataset} ${metric}`,
    label: html`${evaluator} · ${dataset} · <strong>${metric}</strong>`,
    values: values.map(measured),
  }));
  const evaluated = names.filter((_, index) => rows.some(({ values }) => values[index]));
  return html`<${SideBySide} caption=${t("runs.fields.evaluations")} names=${names} rows=${shown} />
    ${evaluated.length > 1 ? html`<${PairTable} names=${evaluated} />` : null}`;
}

function Keep({ names }) {
  const [text, setText] = useState(null);
  const question = names.map((name) => `run=${encodeURIComponent(name)}`).join("&");
  useEffect(() => {
    attempt(async () => setText(await (await request("GET", `run-comparison?${question}`)).text()));
  }, []);
  return html`<div class="row">
    ${text ? html`<${Copy} text=${text} label=${t("runs.copy_markdown")} />` : null}
    <a class="button" href=${`api/run-comparison?${question}&format=csv`} download>${t("runs.csv")}</a>
  </div>`;
}
