// Results of evaluations: the numbers with their errors; each opens to its examples.
import { html, useEffect, useState } from "../../lib/html.js";
import { get } from "../../lib/api.js";
import { useTopic } from "../../lib/events.js";
import { integer, moment } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { Table } from "../../components/table.js";
import { Records } from "./records.js";
import { measured } from "./words.js";

/** @param {{of?: string}} properties a run's name, or that of a folder of evaluations; all without it */
export function Results({ of }) {
  const [items, set] = useState(null);
  const [error, setError] = useState(null);
  const [open, setOpen] = useState(null);
  const load = () => get(`evaluations${of ? `?of=${encodeURIComponent(of)}` : ""}`).then((told) => set(told.items), setError);
  useEffect(() => void load(), [of]);
  useTopic("jobs", (type, job) => type === "job" && job.kind === "eval" && ["done", "failed"].includes(job.state) && load());
  if (error) return html`<p role="alert" class="bad">${error.message}</p>`;
  if (!items) return html`<p aria-busy="true">${t("page.loading")}</p>`;
  if (!items.length) return html`<p class="soft">${t("evaluate.none")} ${of ? html`<a href=${`#evaluate/${encodeURIComponent(of)}`}>${t("views.evaluate")}</a>` : null}</p>`;
  if (open) return html`<${Records} result=${open} onClose=${() => setOpen(null)} />`;
  return html`<div class="results">${items.map((item) => html`<${Result} key=${item.folder} item=${item} onOpen=${() => setOpen(item)} />`)}</div>`;
}

function Result({ item, onOpen }) {
  const rows = Object.entries(item.metrics ?? {}).flatMap(([dataset, numbers]) =>
    Object.entries(numbers).map(([metric, number]) => ({ dataset, metric, number, before: item.before?.metrics?.[dataset]?.[metric] })));
  const columns = [
    { key: "metric", label: t("evaluate.metric"), head: true, cell: (row) => row.metric },
    { key: "dataset", label: t("evaluate.dataset"), cell: (row) => row.dataset },
    { key: "value", label: t("evaluate.value"), number: true, cell: (row) => measured(row.number) },
    ...(item.before ? [{ key: "before", label: t("evaluate.before"), number: true, cell: (row) => measured(row.before) }] : []),
    { key: "count", label: t("evaluate.examples"), number: true, cell: (row) => integer(row.number.count) },
    { key: "greater", label: t("evaluate.better"), cell: (row) => t(row.number.greater_is_better ? "evaluate.greater" : "evaluate.less") },
  ];
  const title = `${item.evaluator} · ${item.of}${item.step === null ? "" : ` · ${t("runs.at_step", { step: integer(item.step) })}`}`;
  return html`<section class="card">
    <div class="row"><h3 class="grow title">${title}</h3><span class="soft">${moment(item.modified)}</span>
      <button type="button" onClick=${onOpen}>${t("evaluate.records")}<span class="unseen"> ${title}</span></button></div>
    <${Table} caption=${title} columns=${columns} rows=${rows} rowKey=${(row) => `${row.dataset} ${row.metric}`} />
    <details><summary>${t("evaluate.settings")}</summary><pre class="code" tabindex="0">${JSON.stringify(item.settings, null, 2)}</pre></details>
    ${item.tables ? html`<details><summary>${t("evaluate.tables")}</summary><pre class="code" tabindex="0">${JSON.stringify(item.tables, null, 1)}</pre></details>` : null}
  </section>`;
}
