// The table of all runs.
import { html, useEffect, useRef, useState } from "../../lib/html.js";
import { get } from "../../lib/api.js";
import { useTopic } from "../../lib/events.js";
import { t } from "../../lib/i18n.js";
import { attempt } from "../../components/toast.js";
import { Table } from "../../components/table.js";
import { Columns } from "./columns.js";
import { Deleting } from "./deleting.js";
import { compareLink, link } from "./links.js";
import { Trash } from "./trash.js";
import { COLUMNS, FIRST, WIDE, value } from "./words.js";

const PAGE = 100;
const PAUSE = 1500; // ms between two looks while runs change

function kept() {
  try {
    return JSON.parse(localStorage.getItem("runs.columns")) ?? FIRST;
  } catch {
    return FIRST;
  }
}

/** What GET /api/runs answers, asked again when the question or a run changes. */
function useRuns(asked) {
  const [found, set] = useState(null);
  const [error, setError] = useState(null);
  const waiting = useRef(null);
  const question = new URLSearchParams(asked).toString();
  const latest = useRef();
  latest.current = () => get(`runs?${question}`).then((told) => (set({ ...told, question }), setError(null)), setError);
  useEffect(() => void latest.current(), [question]);
  const soon = () => {
    waiting.current ??= setTimeout(() => ((waiting.current = null), latest.current()), PAUSE);
  };
  useTopic("runs", (type) => type !== "runs" && type !== "error" && soon());
  useEffect(() => () => clearTimeout(waiting.current), []);
  return { found, error, again: () => latest.current() };
}

export function List() {
  const [filter, setFilter] = useState({ search: "", state: "", stage: "", model: "", tag: "" });
  const [sort, setSort] = useState({ by: "started", descending: true });
  const [limit, setLimit] = useState(PAGE);
  const [columns, setColumns] = useState(kept);
  const [selected, setSelected] = useState(new Set());
  const [open, setOpen] = useState(null);
  const filters = Object.entries(filter).filter(([, text]) => text);
  const asked = [...filters, ["sort", sort.by], ["descending", sort.descending], ["limit", limit]];
  const further = columns.filter((name) => !(name in COLUMNS)).map((name) => ["column", name]);
  const { found, error, again } = useRuns([...asked, ...further]);
  if (error) return html`<p role="alert">${error.message}</p>`;
  if (!found) return html`<p aria-busy="true">${t("page.loading")}</p>`;
  const choose = (names) => {
    localStorage.setItem("runs.columns", JSON.stringify(names));
    setColumns(names);
  };
  const chosen = [...selected].filter((name) => found.items.some((row) => row.name === name));
  const narrowed = Object.values(filter).some(Boolean);
  return html`<div class="runs">
    <${Filters} filter=${filter} setFilter=${setFilter} values=${found.values} />
    <div class="row tools">
      <p aria-live="polite" class="grow soft">${t("runs.count", { count: found.total })}</p>
      <button type="button" disabled=${chosen.length < 2} onClick=${() => (location.hash = compareLink(chosen))}>
        ${t("runs.compare", { count: chosen.length })}
      </button>
      <button type="button" disabled=${!chosen.length} onClick=${() => setOpen("delete")}>${t("runs.delete")}</button>
      <button type="button" onClick=${() => setOpen("columns")}>${t("runs.columns")}</button>
      <button type="button" onClick=${() => setOpen("trash")}>${t("runs.trash")}</button>
    </div>
    ${found.items.length
      ? html`<${Table} caption=${t("runs.table")} columns=${tableColumns(columns)} rows=${found.items}
          rowKey=${(row) => row.name} sort=${sort} onSort=${setSort}
          selected=${new Set(chosen)} onSelect=${setSelected} />`
      : html`<${Empty} narrowed=${narrowed} />`}
    ${found.total > found.items.length
      ? html`<button type="button" onClick=${() => setLimit(limit + PAGE)}>
          ${t("runs.more", { count: found.total - found.items.length })}</button>`
      : null}
    ${open === "columns"
      ? html`<${Columns} columns=${columns} onChange=${choose} onClose=${() => setOpen(null)} />`
      : null}
    ${open === "trash" ? html`<${Trash} onClose=${() => (setOpen(null), attempt(again))} />` : null}
    ${open === "delete" ? html`<${Deleting} names=${chosen} onClose=${() => (setOpen(null), attempt(again))} />` : null}
  </div>`;
}

function tableColumns(names) {
  const name = { key: "name", label: t("runs.fields.name"), head: true, cell: (row) => html`<${Name} row=${row} />` };
  const unchanged = names.join() === FIRST.join(); // who chose columns sees them all
  const column = (key) => {
    const own = COLUMNS[key];
    if (own) return { key, label: t(`runs.fields.${key}`), wide: unchanged && WIDE.includes(key), ...own };
    return { key, label: key, cell: (row) => value(row.values?.[key]) };
  };
  return [name, ...names.map(column)];
}

function Name({ row }) {
  const parts = row.name.split(/(?<=[/_-])/).map((part) => html`${part}<wbr />`);
  return html`<a href=${link("runs", row.name)}>${parts}</a>
    ${row.foreign ? html` <span class="soft" title=${t("runs.foreign_help")}>${t("runs.foreign")}</span>` : null}
    ${row.problem ? html` <span class="bad" title=${row.problem}>${t("runs.broken")}</span>` : null}
    ${row.notes
      ? html` <span class="soft" title=${row.notes}>✎<span class="unseen">${t("runs.notes")}</span></span>`
      : null}`;
}

function Filters({ filter, setFilter, values }) {
  const set = (name) => ({ target }) => setFilter({ ...filter, [name]: target.value });
  const shown = (name, each) => (name === "state" ? t(`runs.states.${each}`) : each);
  const choice = (name) => html`<label key=${name}>${t(`runs.fields.${name}`)}
    <select value=${filter[name]} onChange=${set(name)}>
      <option value="">${t("runs.all")}</option>
      ${values[name].map((each) => html`<option key=${each} value=${each}>${shown(name, each)}</option>`)}
    </select>
  </label>`;
  return html`<form class="row filters" role="search" onSubmit=${(event) => event.preventDefault()}>
    <label class="grow">${t("page.search")}
      <input type="search" value=${filter.search} onInput=${set("search")} />
    </label>
    ${["state", "stage", "model"].map(choice)}
    ${values.tag.length ? choice("tag") : null}
  </form>`;
}

function Empty({ narrowed }) {
  if (narrowed) return html`<p class="card">${t("runs.none_match")}</p>`;
  return html`<div class="card"><h2>${t("runs.none")}</h2><p>${t("runs.none_help")}</p>
    <p><a href="#train">${t("runs.train_one")}</a></p></div>`;
}
