// Data sets: of the registry, files of the workspace, or any address that is typed.
import { html, useEffect, useId, useRef, useState } from "../lib/html.js";
import { get } from "../lib/api.js";
import { integer } from "../lib/format.js";
import { t } from "../lib/i18n.js";

const ROOM = 50; // suggestions at a time
const nameOf = (entry) => (typeof entry === "string" ? entry : entry.path);

/** The data sets that there are; asked for once, and again when `again` changes. */
export function useSets(again = 0) {
  const [sets, set] = useState(null);
  useEffect(() => {
    get("data?limit=2000").then(({ items }) => set(items), () => set([]));
  }, [again]);
  return sets;
}

/**
 * A list of data sets that grows by a text field with suggestions.
 * @param {{label: string, value: (string | object)[], onChange: (sets: (string | object)[]) => void,
 *          multiple?: boolean, help?: string}} properties entries as in `data.train`: names, paths, or mappings
 */
export function DataPicker({ label, value, onChange, multiple = true, help }) {
  const id = useId();
  const sets = useSets() ?? [];
  const add = (wanted) => {
    if (wanted && !value.some((entry) => nameOf(entry) === wanted)) onChange(multiple ? [...value, wanted] : [wanted]);
  };
  return html`<div class="data-picker picker">
    <label for=${id}>${label}</label>
    ${value.length
      ? html`<ul class="chosen">
          ${value.map((entry) => html`<${Chosen} key=${nameOf(entry)} entry=${entry} sets=${sets}
            onRemove=${() => onChange(value.filter((other) => other !== entry))} />`)}
        </ul>`
      : null}
    <${Search} id=${id} label=${label} sets=${sets} help=${help} onAdd=${add} />
    ${help ? html`<p class="help" id=${`${id}help`}>${help}</p>` : null}
  </div>`;
}

/** The field, which works as that of the model: arrows choose, Enter takes, Escape closes. */
function Search({ id, label, sets, help, onAdd }) {
  const [text, setText] = useState("");
  const [open, setOpen] = useState(false);
  const [at, setAt] = useState(-1);
  const found = open ? suggested(sets, text) : [];
  const show = () => (setOpen(true), setAt(-1));
  const take = (name) => (setText(""), setOpen(false), onAdd(name));
  const moves = { ArrowDown: () => Math.min(at + 1, found.length - 1), ArrowUp: () => Math.max(at - 1, -1) };
  const pressed = (event) => {
    if (event.key in moves) (setOpen(true), setAt(moves[event.key]()));
    else if (event.key === "Enter" && (text.trim() || found[at])) take((found[at] ?? meant(sets, text)).name);
    else if (event.key === "Escape" && open) setOpen(false);
    else return;
    event.preventDefault();
  };
  const left = () => {
    setOpen(false);
    const one = meant(sets, text);
    if (text.trim() && (one.name === text.trim() || !one.kind)) take(one.name);
  };
  return html`<input id=${id} type="text" role="combobox" value=${text} autocomplete="off" spellcheck=${false}
      placeholder=${t("data.picker.placeholder")} aria-autocomplete="list"
      aria-expanded=${String(open && found.length > 0)} aria-controls=${`${id}list`}
      aria-describedby=${help ? `${id}help` : null} aria-activedescendant=${found[at] ? `${id}at${at}` : null}
      onFocus=${show} onClick=${show}
      onInput=${(event) => (setText(event.target.value), show())} onKeyDown=${pressed} onBlur=${left} />
    <div class="picker-list" id=${`${id}list`} role="listbox" tabindex="-1" aria-label=${label} hidden=${!found.length}>
      ${found.map((one, index) => html`<${Suggestion} key=${one.kind + one.name} id=${`${id}at${index}`} one=${one}
        now=${index === at} onTake=${() => take(one.name)} />`)}
    </div>`;
}

/** The set that a text means: that of this name, else the first in whose name it stands, else it is an address. */
function meant(sets, text) {
  const name = text.trim();
  return sets.find((one) => one.name === name) ?? suggested(sets, text)[0] ?? { name };
}

function suggested(sets, text) {
  const wanted = text.trim().toLowerCase();
  return sets.filter(({ name, path }) => `${name} ${path}`.toLowerCase().includes(wanted)).slice(0, ROOM);
}

function Suggestion({ id, one, now, onTake }) {
  const own = useRef();
  useEffect(() => now && own.current.scrollIntoView({ block: "nearest" }), [now]);
  return html`<div class="picker-option" role="option" id=${id} ref=${own} aria-selected=${String(now)}
    onMouseDown=${(event) => (event.preventDefault(), onTake())}>
    <span>${one.name}</span> <span class="soft">${about(one)}</span></div>`;
}

const about = ({ format, rows }) => [format, rows === null ? "" : t("data.rows", { count: rows, rows: integer(rows) })]
  .filter(Boolean).join(" · ");

function Chosen({ entry, sets, onRemove }) {
  const name = nameOf(entry);
  const known = sets.find((one) => one.name === name);
  return html`<li>
    <a href=${`#data/${encodeURIComponent(name)}`}>${name}</a>
    <span class="soft">${known ? about(known) : ""}</span>
    <button type="button" class="plain" aria-label=${t("data.picker.remove", { name })} onClick=${onRemove}>×</button>
  </li>`;
}
