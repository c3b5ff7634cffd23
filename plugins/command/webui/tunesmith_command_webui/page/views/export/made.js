// The exports of the workspace, the newest first.
import { html, useEffect, useState } from "../../lib/html.js";
import { get } from "../../lib/api.js";
import { useTopic } from "../../lib/events.js";
import { bytes, moment } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";

export function Made() {
  const [items, set] = useState(null);
  const load = () => get("exports").then((said) => set(said.items), () => set([]));
  useEffect(load, []);
  useTopic("jobs", (type, data) => type === "job" && data.kind === "export" && data.state === "done" && load());
  if (!items) return html`<p aria-busy="true">${t("page.loading")}</p>`;
  return html`<section>
    <h2>${t("export.made")}</h2>
    ${items.length ? html`<${Rows} items=${items} />` : html`<p>${t("export.none_made")}</p>`}
  </section>`;
}

function Rows({ items }) {
  const row = (item) => html`<tr key=${item.path}>
    <th scope="row"><a href=${`#export/${encodeURIComponent(`result:${item.path}`)}`}>${item.name}</a></th>
    <td>${item.format}</td>
    <td class="number">${bytes(item.size)}</td>
    <td>${item.program ?? t("export.not_proven")}</td>
    <td>${moment(item.made)}</td>
  </tr>`;
  const head = (name) => html`<th scope="col">${t(`export.${name}`)}</th>`;
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${t("export.made")}>
    <table><thead><tr>${["name", "format", "size", "proven_in", "date"].map(head)}</tr></thead>
      <tbody>${items.map(row)}</tbody></table>
  </div>`;
}
