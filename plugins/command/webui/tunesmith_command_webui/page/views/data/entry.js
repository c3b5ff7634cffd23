// An entry of the registry: a name for a path, how it is read, and which column is what; the first rows show it at
// once.
import { html, useEffect, useState } from "../../lib/html.js";
import { post, put as store } from "../../lib/api.js";
import { t } from "../../lib/i18n.js";
import { Dialog } from "../../components/dialog.js";
import { tell } from "../../components/toast.js";
import { Conversation } from "./conversation.js";
import { Failed, useAnswer } from "./words.js";

const FIELDS = ["instruction", "input", "output", "messages", "conversations", "prompt", "chosen", "rejected", "label",
  "text", "history", "system", "tools", "images", "videos", "audios", "weight"];
const TEXTS = ["split", "subset", "media_dir"];

export function EntryForm({ entry, onDone, onClose }) {
  const [name, setName] = useState(entry?.name ?? "");
  const given = { format: "auto", columns: {}, ...entry?.options };
  const [options, setOptions] = useState({ path: entry?.path ?? "", ...given });
  const [found, setFound] = useState(null);
  const [error, setError] = useState(null);
  const formats = useAnswer("data/formats").answer?.items ?? [];
  const put = (key, value) => setOptions((now) => ({ ...now, [key]: value }));
  const change = (key) => (event) => put(key, event.target.value);
  const mapped = Object.entries(options.columns).filter(([field, column]) => field && column);
  const said = { ...options, columns: Object.fromEntries(mapped) };
  const look = () => post("data/entries/try", { name: name || "new", options: said })
    .then((answer) => (setFound(answer), setError(null)), (failed) => (setFound(null), setError(failed.message)));
  useEffect(() => {
    const timer = options.path ? setTimeout(look, 500) : 0;
    return () => clearTimeout(timer);
  }, [JSON.stringify(said)]);
  const save = async (event) => {
    event.preventDefault();
    const kept = said.format === "auto" ? { ...said, format: "" } : said;
    await store("data/entries", { name, options: kept }).then(
      ({ file }) => (tell(t("data.entry.saved", { name, file })), onDone()), (failed) => setError(failed.message));
  };
  const title = entry ? t("data.entry.change_one", entry) : t("data.entry.add");
  return html`<${Dialog} wide title=${title} onClose=${onClose}>
    <form onSubmit=${save}>
      <div class="fields entry">
        <label>${t("data.entry.name")} <input required value=${name} readonly=${Boolean(entry)}
          onInput=${(event) => setName(event.target.value.trim())} /></label>
        <label>${t("data.entry.path")} <input required value=${options.path} onInput=${change("path")} /></label>
        <label>${t("data.list.format")} <select value=${options.format} onChange=${change("format")}>
          ${["auto", ...formats.map((one) => one.name)].map(
            (one) => html`<option value=${one} key=${one}>${one}</option>`,
          )}</select></label>
        ${TEXTS.map((key) => html`<label key=${key}>${t(`data.entry.${key}`)}
          ${" "}<input value=${options[key] ?? ""} onInput=${change(key)} /></label>`)}
      </div>
      <${Columns} columns=${options.columns} known=${found?.columns ?? []}
        onChange=${(columns) => put("columns", columns)} />
      <${Failed} error=${error} />
      ${found ? html`<${First} found=${found} data=${options.path} />` : null}
      <footer class="row"><button type="button" onClick=${onClose}>${t("page.cancel")}</button>
        <button class="main">${t("data.entry.save")}</button></footer>
    </form>
  </${Dialog}>`;
}

function Columns({ columns, known, onChange }) {
  const rows = Object.entries(columns);
  const put = (index, field, column) =>
    onChange(Object.fromEntries(rows.map((row, at) => (at === index ? [field, column] : row))));
  const drop = (index) => onChange(Object.fromEntries(rows.filter((_, at) => at !== index)));
  const add = () => onChange({ ...columns, [FIELDS.find((field) => !(field in columns))]: "" });
  return html`<fieldset><legend>${t("data.entry.columns")}</legend>
    <p class="help">${t("data.entry.columns_help")}</p>
    ${rows.map(([field, column], index) => html`<div class="row" key=${index}>
      <input list="data-fields" aria-label=${t("data.entry.field", { number: index + 1 })} value=${field}
        onInput=${(event) => put(index, event.target.value.trim(), column)} />
      ← <select aria-label=${t("data.entry.column", { number: index + 1 })} value=${column}
        onChange=${(event) => put(index, field, event.target.value)}>
        ${["", ...new Set([...known, column])].map((one) => html`<option value=${one} key=${one}>${one}</option>`)}
      </select>
      <button type="button" class="small" aria-label=${t("data.entry.drop", { field })}
        onClick=${() => drop(index)}>×</button>
    </div>`)}
    <datalist id="data-fields">${FIELDS.map((field) => html`<option value=${field} key=${field} />`)}</datalist>
    <button type="button" onClick=${add}>${t("data.entry.map")}</button>
  </fieldset>`;
}

function First({ found, data }) {
  return html`<h3>${t("data.entry.first", { format: found.format || "–" })}</h3>
    ${found.items.map((one, index) => html`<div class="card" key=${index}>
      ${one.fault ? html`<pre class="bad">✗ ${one.fault}</pre><pre>${JSON.stringify(one.record, null, 1)}</pre>`
        : html`<${Conversation} content=${one.content} data=${data} />`}</div>`)}`;
}
