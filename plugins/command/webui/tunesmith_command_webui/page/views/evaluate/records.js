// The examples of a result, a page at a time: what was asked, expected and answered.
import { html, useEffect, useState } from "../../lib/html.js";
import { get } from "../../lib/api.js";
import { integer, number } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { partLink } from "./links.js";
import { text } from "./words.js";

const PAGE = 20;
const SHOWN = ["prompt", "context", "text", "answer", "prediction", "predictions", "thought"];

/** @param {{result: {folder: string, evaluator: string, of: string, before?: object}}} properties */
export function Records({ result }) {
  const [asked, setAsked] = useState({ search: "", metric: "", outcome: "", sort: "", before: "" });
  const set = (changed) => setAsked({ ...asked, ...changed });
  const first = firstMetric(result);
  return html`<section>
    <div class="row"><h2 class="grow title">${result.evaluator} · ${result.of}</h2>
      <a class="button" href=${partLink("results")}>${t("evaluate.results")}</a></div>
    <${Pages} path="evaluations/records" question=${{ folder: result.folder, ...asked }}>
      ${(found) => html`<${Filters} ...${{ asked, set, found, first, result }} />`}
    </${Pages}>
  </section>`;
}

const firstMetric = (result) => Object.keys(Object.values(result.metrics ?? {})[0] ?? {})[0] ?? "";

function Filters({ asked, set, found, first, result }) {
  const { metrics, judged = [] } = found;
  const metric = asked.metric || (metrics.includes(first) ? first : metrics[0]); // not each number is of an example
  const given = ({ type, checked, value }) => (type === "checkbox" ? (checked ? "true" : "") : value);
  const field = (name) => ({ target }) => set({ metric, [name]: given(target) });
  const choice = (name, values) => html`<label>${t(`evaluate.${name}`)}
    <select value=${asked[name]} onChange=${field(name)}>
      <option value="">${t("evaluate.any")}</option>
      ${values.map((each) => html`<option key=${each} value=${each}>${t(`evaluate.${each}`)}</option>`)}
    </select></label>`;
  return html`<form class="row filters" role="search" onSubmit=${(event) => event.preventDefault()}>
    <label class="grow">${t("page.search")}
      <input type="search" value=${asked.search} onInput=${field("search")} /></label>
    <label>${t("evaluate.metric")}
      <select value=${metric} onChange=${({ target }) => set({ metric: target.value, outcome: "" })}>
        ${metrics.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}
      </select></label>
    ${judged.includes(metric) || asked.outcome ? choice("outcome", ["right", "wrong"]) : null}
    ${choice("sort", ["ascending", "descending"])}
    ${result.before
      ? html`<label class="row"><input type="checkbox" checked=${asked.before} onChange=${field("before")} />
          ${t("evaluate.before_records")}</label>`
      : null}
  </form>`;
}

/**
 * Pages of records that a path of the interface gives.
 * @param {{path: string, question: object, children: (found: object) => any}} properties
 */
export function Pages({ path, question, children }) {
  const [found, set] = useState({ items: null, total: 0, metrics: [] });
  const [error, setError] = useState(null);
  const [offset, setOffset] = useState(0);
  const asked = new URLSearchParams(Object.entries(question).filter(([, value]) => value)).toString();
  useEffect(() => setOffset(0), [asked]);
  useEffect(() => {
    const stop = new AbortController();
    const told = (each) => (set(each), setError(null));
    const failed = (wrong) => wrong.name !== "AbortError" && setError(wrong);
    get(`${path}?${asked}&offset=${offset}&limit=${PAGE}`, stop.signal).then(told, failed);
    return () => stop.abort();
  }, [asked, offset]);
  const to = Math.min(offset + PAGE, found.total);
  const counted = { from: integer(found.total ? offset + 1 : 0), to: integer(to), total: integer(found.total) };
  const example = (record, index) => html`<${Example} key=${`${record.dataset} ${record.index ?? offset + index}`}
    record=${record} metrics=${found.metrics} />`;
  return html`<div>
    ${children(found)}
    ${error ? html`<p role="alert" class="bad">${error.message}</p>` : null}
    ${!found.items && !error ? html`<p aria-busy="true">${t("page.loading")}</p>` : null}
    <p class="soft" aria-live="polite">${found.items ? t("evaluate.page", counted) : ""}</p>
    ${(found.items ?? []).map(example)}
    <div class="row">
      <button type="button" disabled=${!offset} onClick=${() => setOffset(Math.max(offset - PAGE, 0))}>
        ${t("evaluate.previous")}</button>
      <button type="button" disabled=${to >= found.total} onClick=${() => setOffset(offset + PAGE)}>
        ${t("evaluate.next")}</button>
    </div>
  </div>`;
}

function Example({ record, metrics }) {
  const measured = (name) => html`<div key=${name}><dt>${name}</dt><dd>${number(Number(record[name]))}</dd></div>`;
  const said = (name) => html`<div key=${name}><dt>${t(`evaluate.${name}`)}</dt>
    <dd><pre>${text(record[name])}</pre></dd></div>`;
  const parts = SHOWN.filter((name) => record[name] !== undefined && record[name] !== null);
  return html`<article class="card example">
    <h3>${record.dataset} ${record.index === undefined ? "" : `#${record.index}`}</h3>
    <dl class="facts">${metrics.filter((name) => name in record).map(measured)}</dl>
    <dl class="said">${parts.map(said)}</dl>
  </article>`;
}
