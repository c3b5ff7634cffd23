// Which columns the table has: fields of a run, and any key of a configuration or metric.
import { html, useEffect, useState } from "../../lib/html.js";
import { get } from "../../lib/api.js";
import { t } from "../../lib/i18n.js";
import { Dialog } from "../../components/dialog.js";
import { COLUMNS, FIRST } from "./words.js";

const MOST = 60; // keys that are shown of those that match

export function Columns({ columns, onChange, onClose }) {
  const [keys, setKeys] = useState([]);
  const [search, setSearch] = useState("");
  useEffect(() => void get("run-columns").then(({ items }) => setKeys(items), () => {}), []);
  const without = (name) => columns.filter((other) => other !== name);
  const flip = (name) => onChange(columns.includes(name) ? without(name) : [...columns, name]);
  const box = (name, label) => html`<label key=${name} class="row">
    <input type="checkbox" checked=${columns.includes(name)} onChange=${() => flip(name)} />${label}</label>`;
  const matching = keys.filter((key) => key.includes(search.trim())).slice(0, search.trim() ? MOST : 0);
  const further = [...new Set([...columns.filter((name) => !(name in COLUMNS)), ...matching])];
  return html`<${Dialog} title=${t("runs.columns")} onClose=${onClose}>
    <fieldset><legend>${t("runs.columns_own")}</legend>
      <div class="fields">${Object.keys(COLUMNS).map((name) => box(name, t(`runs.fields.${name}`)))}</div>
    </fieldset>
    <fieldset><legend>${t("runs.columns_further")}</legend>
      <label>${t("page.search")}<input type="search" value=${search} placeholder="trainer.learning_rate"
        onInput=${({ target }) => setSearch(target.value)} /></label>
      ${further.map((name) => box(name, html`<code>${name}</code>`))}
    </fieldset>
    <footer><button type="button" onClick=${() => onChange(FIRST)}>${t("runs.columns_first")}</button>
      <button type="button" class="main" onClick=${onClose}>${t("page.ok")}</button></footer>
  </${Dialog}>`;
}
