// Results of evaluations: the numbers with their errors; each opens to its examples.
import { html, useEffect, useState } from "../../lib/html.js";
import { get } from "../../lib/api.js";
import { useTopic } from "../../lib/events.js";
import { integer, moment } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { Table } from "../../components/table.js";
import { partLink } from "./links.js";
import { Records } from "./records.js";
import { measured } from "./words.js";

/** @param {{of?: string}} properties a run's name, or that of a folder of evaluations; all without it */
export function Results({ of }) {
  const [items, set] = useState(null);
  const [error, setError] = useState(null);
  const question = of ? `?of=${encodeURIComponent(of)}` : "";
  const load = () => get(`evaluations${question}`).then((told) => set(told.items), setError);
  useEffect(() => void load(), [of]);
  useTopic("jobs", (type, job) => {
    if (type === "job" && job.kind === "eval" && ["done", "failed"].includes(job.state)) load();
  });
  if (error) return html`<p role="alert" class="bad">${error.message}</p>`;
  if (!items) return html`<p aria-busy="true">${t("page.loading")}</p>`;
  if (!items.length) {
    const there = of ? html`<a href=${`#evaluate/${encodeURIComponent(of)}`}>${t("views.evaluate")}</a>` : null;
    return html`<p class="soft">${t("evaluate.none")} ${there}</p>`;
  }
  return html`<div class="results">${items.map((item) => html`<${Result} key=${item.folder} item=${item} />`)}</div>`;
}

/** The examples of one result. @param {{folder: string}} properties as GET /api/evaluations has it */
export function Opened({ folder }) {
  const [items, set] = useState(null);
  const [error, setError] = useState(null);
  useEffect(() => void get("evaluations?steps=true").then((told) => set(told.items), setError), []);
  if (error) return html`<p role="alert" class="bad">${error.message}</p>`;
  if (!items) return html`<p aria-busy="true">${t("page.loading")}</p>`;
  const result = items.find((item) => item.folder === folder);
  if (!result) return html`<p role="alert">${t("evaluate.gone", { folder })}</p>`;
  return html`<${Records} result=${result} />`;
}

function Result({ item }) {
  const rows = Object.entries(item.metrics ?? {}).flatMap(([dataset, numbers]) => {
    const before = item.before?.metrics?.[dataset];
    return Object.entries(numbers).map(([metric, number]) => ({ dataset, metric, number, before: before?.[metric] }));
  });
  const before = { key: "before", label: t("evaluate.before"), number: true, cell: (row) => measured(row.before) };
  const better = (row) => t(row.number.greater_is_better ? "evaluate.greater" : "evaluate.less");
  const columns = [
    { key: "metric", label: t("evaluate.metric"), head: true, cell: (row) => row.metric },
    { key: "dataset", label: t("evaluate.dataset"), cell: (row) => row.dataset },
    { key: "value", label: t("evaluate.value"), number: true, cell: (row) => measured(row.number) },
    ...(item.before ? [before] : []),
    { key: "count", label: t("evaluate.examples"), number: true, cell: (row) => integer(row.number.count) },
    { key: "greater", label: t("evaluate.better"), cell: better },
  ];
  const at = item.step === null ? [] : [t("runs.at_step", { step: integer(item.step) })];
  const title = [item.evaluator, item.of, ...at].join(" · ");
  return html`<section class="card">
    <div class="row"><h2 class="grow title">${title}</h2><span class="soft">${moment(item.modified)}</span>
      <a class="button" href=${partLink("results", item.folder)}>
        ${t("evaluate.records")}<span class="unseen"> ${title}</span></a></div>
    <${Table} caption=${title} columns=${columns} rows=${rows} rowKey=${(row) => `${row.dataset} ${row.metric}`} />
    <${Folded} title=${t("evaluate.settings")} what=${item.settings} />
    ${item.tables ? html`<${Folded} title=${t("evaluate.tables")} what=${item.tables} />` : null}
  </section>`;
}

function Folded({ title, what }) {
  const text = JSON.stringify(what, null, 2);
  return html`<details><summary>${title}</summary><pre class="code" tabindex="0">${text}</pre></details>`;
}
