// The trash: what was deleted, brought back or gone for good.
import { html, useEffect, useState } from "../../lib/html.js";
import { get, post, remove } from "../../lib/api.js";
import { bytes, moment } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { Confirm, Dialog } from "../../components/dialog.js";
import { Table } from "../../components/table.js";
import { attempt, tell } from "../../components/toast.js";

export function Trash({ onClose }) {
  const [items, set] = useState(null);
  const [asking, setAsking] = useState(null);
  const load = () => attempt(async () => set((await get("trash")).items));
  useEffect(() => void load(), []);
  const restore = async ({ id }) => {
    const row = await attempt(() => post("trash/restore", { id }));
    if (row) tell(t("runs.restored", { name: row.name }));
    await load();
  };
  const empty = async (id) => {
    setAsking(null);
    const told = await attempt(() => remove(`trash${id ? `?id=${encodeURIComponent(id)}` : ""}`));
    if (told) tell(t("runs.freed", { size: bytes(told.freed) }));
    await load();
  };
  const size = (items ?? []).reduce((sum, item) => sum + item.size, 0);
  const all = () => t("runs.erase_all", { count: items.length, size: bytes(size) });
  const acts = (item) => html`<div class="row">
    <button type="button" onClick=${() => restore(item)}>${t("runs.restore")}</button>
    <button type="button" aria-label=${t("runs.forever", { name: item.name })} onClick=${() => setAsking(item)}>
      ${t("runs.erase")}</button>
  </div>`;
  const columns = [
    { key: "name", label: t("runs.fields.name"), head: true, cell: ({ name }) => name },
    { key: "deleted", label: t("runs.when_deleted"), number: true, cell: ({ deleted }) => moment(deleted) },
    { key: "size", label: t("runs.fields.size"), number: true, cell: (item) => bytes(item.size) },
    { key: "acts", label: t("runs.acts"), cell: acts },
  ];
  return html`<${Dialog} wide title=${t("runs.trash")} onClose=${onClose}>
    ${items && !items.length ? html`<p>${t("runs.trash_empty")}</p>` : null}
    ${items?.length
      ? html`<${Table} caption=${t("runs.trash")} columns=${columns} rows=${items} rowKey=${({ id }) => id} />`
      : null}
    <footer>
      <button type="button" class="danger" disabled=${!items?.length} onClick=${() => setAsking({})}>
        ${t("runs.empty_trash", { size: bytes(size) })}
      </button>
      <button type="button" onClick=${onClose}>${t("page.close")}</button>
    </footer>
    ${asking
      ? html`<${Confirm} title=${t("runs.erase")} action=${t("runs.erase")}
          text=${asking.id ? t("runs.erase_one", asking) : all()}
          onYes=${() => empty(asking.id)} onClose=${() => setAsking(null)} />`
      : null}
  </${Dialog}>`;
}
