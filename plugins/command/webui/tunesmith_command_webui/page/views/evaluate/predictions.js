// Files of answers to whole data sets: read a page at a time, and downloaded.
import { html, useEffect, useState } from "../../lib/html.js";
import { get } from "../../lib/api.js";
import { bytes, moment } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { Table } from "../../components/table.js";
import { partLink } from "./links.js";
import { Pages } from "./records.js";

/** @param {{path?: string}} properties the file that is open */
export function Predictions({ path }) {
  const [items, set] = useState(null);
  const [error, setError] = useState(null);
  useEffect(() => void get("predictions").then((told) => set(told.items), setError), []);
  if (error) return html`<p role="alert" class="bad">${error.message}</p>`;
  if (!items) return html`<p aria-busy="true">${t("page.loading")}</p>`;
  const open = items.find((file) => file.path === path);
  if (open) return html`<${Answers} key=${path} file=${open} />`;
  if (!items.length) return html`<p class="soft">${t("evaluate.no_predictions")}</p>`;
  const of = (file) => html`<a href=${partLink("predictions", file.path)}>${file.of}</a>`;
  const columns = [
    { key: "of", label: t("evaluate.model"), head: true, cell: of },
    { key: "path", label: t("evaluate.file"), cell: (file) => file.path },
    { key: "size", label: t("runs.fields.size"), number: true, cell: (file) => bytes(file.size) },
    { key: "modified", label: t("runs.written"), number: true, cell: (file) => moment(file.modified) },
    { key: "acts", label: t("runs.acts"), cell: download },
  ];
  return html`<${Table} caption=${t("evaluate.predictions_tab")} columns=${columns} rows=${items}
    rowKey=${(file) => file.path} />`;
}

function download({ path }) {
  return html`<a href=${`api/predictions/download?path=${encodeURIComponent(path)}`} download>
    ${t("runs.download")}<span class="unseen"> ${path}</span></a>`;
}

function Answers({ file }) {
  const [search, setSearch] = useState("");
  return html`<section>
    <div class="row"><h2 class="grow title">${file.path}</h2>
      <a class="button" href=${partLink("predictions")}>${t("evaluate.predictions_tab")}</a></div>
    <${Pages} path="predictions/records" question=${{ path: file.path, search }}>
      ${() => html`<label>${t("page.search")}
        <input type="search" value=${search} onInput=${({ target }) => setSearch(target.value)} /></label>`}
    </${Pages}>
  </section>`;
}
