// The rows of a set, page by page: searched, filtered, edited.
import { html, useEffect, useRef, useState } from "../../lib/html.js";
import { post } from "../../lib/api.js";
import { integer } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { attempt, tell } from "../../components/toast.js";
import { Conversation } from "./conversation.js";
import { Edit } from "./edit.js";
import { Failed, Loading, query, useAnswer } from "./words.js";

const ROOM = 20;
const MARKED = ["judged", "unjudged", "good", "bad", "skipped", "edited", "deleted"];

export function Browse({ data, author, only, onAll, onChanged }) {
  const [filter, setFilter] = useState({ search: "", marked: "", shortest: "", longest: "" });
  const [offsets, setOffsets] = useState([0]); // of the pages before, and of this one
  const [editing, setEditing] = useState(null);
  const offset = offsets[offsets.length - 1];
  const rows = only?.rows.slice(0, 500).join() ?? "";
  const asked = query({ data, offset, limit: ROOM, only: rows, ...filter });
  const { answer, error, again } = useAnswer(`data/rows?${asked}`);
  useEffect(() => setOffsets([0]), [JSON.stringify(filter), rows]);
  const changed = () => (setEditing(null), again(), onChanged());
  const note = (row, action, value) =>
    attempt(async () => {
      await post("data/notes", { data, row: row.row, author, action, value, revision: row.marks.revision });
      changed();
    });
  return html`
    ${author ? null : html`<p class="help">${t("data.who")}</p>`}
    ${only
      ? html`<p role="status">${only.title} <button type="button" onClick=${onAll}>${t("data.browse.all")}</button></p>`
      : html`<${Filter} filter=${filter} onChange=${setFilter} onGo=${(row) => setOffsets([row - 1])} />`}
    <${Failed} error=${error} />
    ${answer || error ? null : html`<${Loading} />`}
    ${answer
      ? html`<${Rows} ...${{ answer, data, author, note }} onEdit=${setEditing} />
          <${Pager} ...${{ answer, offsets, setOffsets }} />`
      : null}
    ${editing ? html`<${Edit} data=${data} row=${editing} author=${author} onClose=${() => setEditing(null)}
      onDone=${() => (tell(t("data.edit.done")), changed())} />` : null}
  `;
}

function Filter({ filter, onChange, onGo }) {
  const [search, setSearch] = useState(filter.search);
  const asked = useRef();
  const change = (name) => (event) => onChange({ ...filter, [name]: event.target.value });
  const sent = (event) => (event.preventDefault(), onChange({ ...filter, search }));
  const go = (event) => {
    event.preventDefault();
    const row = Number(asked.current.value);
    if (row >= 1) onGo(row);
  };
  const size = (name) => html`<label>${t(`data.browse.${name}`)}
    <input class="short" type="number" min="0" value=${filter[name]} onChange=${change(name)} /></label>`;
  return html`<div class="row data-tools">
    <form class="row grow" role="search" onSubmit=${sent}>
      <label class="grow">${t("page.search")} <input type="search" value=${search}
        onInput=${(event) => setSearch(event.target.value)} /></label>
      <button>${t("page.search")}</button>
    </form>
    <label>${t("data.browse.marked")} <select value=${filter.marked} onChange=${change("marked")}>
      <option value="">${t("data.browse.any")}</option>
      ${MARKED.map((name) => html`<option value=${name} key=${name}>${t(`data.browse.marks.${name}`)}</option>`)}
    </select></label>
    ${size("shortest")}${size("longest")}
    <form class="row" onSubmit=${go}><label>${t("data.browse.row")}
      <input class="short" type="number" min="1" ref=${asked} /></label><button>${t("data.browse.go")}</button></form>
  </div>`;
}

function Rows({ answer, data, author, note, onEdit }) {
  if (!answer.items.length) {
    return html`<p>${answer.next === null ? t("data.browse.none") : t("data.browse.not_yet")}</p>`;
  }
  return answer.items.map((row) => html`<${Row} key=${row.row} ...${{ row, data, author, note, onEdit }} />`);
}

function Row({ row, data, author, note, onEdit }) {
  const [asJson, setAsJson] = useState(false);
  const { edited, deleted, opinions } = row.marks;
  return html`<article class=${`card data-row ${deleted ? "deleted" : ""}`} aria-label=${t("data.browse.number", row)}>
    <header class="row">
      <strong>${t("data.browse.number", { row: integer(row.row) })}</strong>
      ${edited ? html`<span class="badge warning">${t("data.browse.marks.edited")}</span>` : null}
      ${deleted ? html`<span class="badge bad">${t("data.browse.marks.deleted")}</span>` : null}
      ${Object.entries(opinions).map(
        ([name, one]) => html`<span class="badge" key=${name}>${name}: ${inWords(one)}</span>`,
      )}
      <span class="grow"></span>
      <button type="button" class="small" aria-pressed=${asJson} onClick=${() => setAsJson(!asJson)}>JSON</button>
      ${row.record ? html`<button type="button" class="small" onClick=${() => onEdit(row)} disabled=${!author}
        title=${author ? null : t("data.who")}>${t("data.edit.action")}</button>` : null}
      <button type="button" class="small" disabled=${!author} onClick=${() => note(row, "delete", !deleted)}>
        ${deleted ? t("data.browse.back") : t("data.browse.delete")}</button>
      ${edited ? html`<button type="button" class="small" disabled=${!author} onClick=${() => note(row, "edit", null)}>
        ${t("data.browse.original")}</button>` : null}
    </header>
    ${row.fault ? html`<pre class="bad">✗ ${row.fault}</pre>` : null}
    ${row.text ? html`<pre>${row.text.slice(0, 2000)}</pre>` : null}
    ${asJson || !row.content
      ? row.record ? html`<pre>${JSON.stringify(row.record, null, 1)}</pre>` : null
      : html`<${Conversation} content=${row.content} data=${data} />`}
  </article>`;
}

/** What somebody said of a row, in few words. */
function inWords({ rate, label, choose, correct, skip, tags = [] }) {
  const said = [
    rate ? "★".repeat(rate) : null,
    label === true ? `✓ ${t("data.good")}` : label === false ? `✗ ${t("data.bad")}` : null,
    choose ? t(`data.better.${choose}`) : null,
    correct !== undefined ? t("data.corrected") : null,
    skip ? t("data.browse.marks.skipped") : null,
    ...tags.map((tag) => `#${tag}`),
  ];
  return said.filter(Boolean).join(" · ");
}

function Pager({ answer, offsets, setOffsets }) {
  const first = answer.items[0]?.row;
  const last = answer.items.at(-1)?.row;
  const total = answer.total === null ? "" : t("data.browse.of", { total: integer(answer.total) });
  return html`<nav class="row pager" aria-label=${t("data.browse.pages")}>
    <button type="button" disabled=${offsets.length < 2} onClick=${() => setOffsets(offsets.slice(0, -1))}>
      ← ${t("data.browse.before")}</button>
    <span aria-live="polite">
      ${first ? t("data.browse.shown", { first: integer(first), last: integer(last) }) : ""} ${total}</span>
    <button type="button" disabled=${answer.next === null} onClick=${() => setOffsets([...offsets, answer.next])}>
      ${t("data.browse.after")} →</button>
  </nav>`;
}
