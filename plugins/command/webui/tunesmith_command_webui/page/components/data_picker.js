// Data sets: of the registry, files of the workspace, or any address that is typed.
import { html, useEffect, useId, useState } from "../lib/html.js";
import { get } from "../lib/api.js";
import { integer } from "../lib/format.js";
import { t } from "../lib/i18n.js";

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
  const [text, setText] = useState("");
  const sets = useSets() ?? [];
  const add = (name) => {
    const wanted = name.trim();
    setText("");
    if (wanted && !value.some((entry) => nameOf(entry) === wanted)) onChange(multiple ? [...value, wanted] : [wanted]);
  };
  const typed = (event) => {
    setText(event.target.value);
    if (sets.some(({ name }) => name === event.target.value)) add(event.target.value);
  };
  const pressed = (event) => {
    if (event.key === "Enter") (event.preventDefault(), add(text));
  };
  return html`<div class="data-picker">
    <label for=${id}>${label}</label>
    ${value.length
      ? html`<ul class="chosen">
          ${value.map((entry) => html`<${Chosen} key=${nameOf(entry)} entry=${entry} sets=${sets}
            onRemove=${() => onChange(value.filter((other) => other !== entry))} />`)}
        </ul>`
      : null}
    <input id=${id} type="text" list=${`${id}list`} value=${text} autocomplete="off" spellcheck=${false}
      placeholder=${t("data.picker.placeholder")} aria-describedby=${help ? `${id}help` : null}
      onInput=${typed} onKeyDown=${pressed} onBlur=${() => add(text)} />
    <datalist id=${`${id}list`}>
      ${sets.map((one) => html`<option key=${one.name} value=${one.name}>${about(one)}</option>`)}
    </datalist>
    ${help ? html`<p class="help" id=${`${id}help`}>${help}</p>` : null}
  </div>`;
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
