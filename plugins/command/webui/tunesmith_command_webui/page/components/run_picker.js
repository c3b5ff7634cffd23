// Runs, chosen by their names; with their checkpoints and exports where those are wanted.
import { html, useEffect, useId, useState } from "../lib/html.js";
import { get } from "../lib/api.js";
import { t } from "../lib/i18n.js";

/**
 * @param {{label: string, value: string | string[], onChange: (value: any) => void, multiple?: boolean,
 *          checkpoints?: boolean, exports?: boolean, help?: string}} properties
 *   The value is a run's name, or `NAME/checkpoint-N`, or an export's name; a list of them where `multiple`.
 */
export function RunPicker({ label, value, onChange, multiple = false, checkpoints = false, exports = false, help }) {
  const id = useId();
  const [text, setText] = useState("");
  const names = useNames(checkpoints, exports);
  const chosen = multiple ? value : [];
  const take = (name) => {
    if (!multiple) return onChange(name);
    setText("");
    if (name && !chosen.includes(name)) onChange([...chosen, name]);
  };
  const typed = ({ target: { value: written } }) =>
    multiple && !names.includes(written) ? setText(written) : take(written);
  const pressed = (event) => {
    if (event.key === "Enter" && multiple && text) (event.preventDefault(), take(text.trim()));
  };
  const entry = (name) => html`<li key=${name}>${name}
    <button type="button" class="plain" aria-label=${t("table.remove", { name })}
      onClick=${() => onChange(chosen.filter((other) => other !== name))}>×</button></li>`;
  return html`<div class="run-picker">
    <label for=${id}>${label}</label>
    ${chosen.length ? html`<ul class="chosen">${chosen.map(entry)}</ul>` : null}
    <input id=${id} type="text" list=${`${id}list`} autocomplete="off" spellcheck=${false}
      placeholder=${t(multiple ? "table.another_run" : "table.run")}
      value=${multiple ? text : value} aria-describedby=${help ? `${id}help` : null}
      onInput=${typed} onKeyDown=${pressed} />
    <datalist id=${`${id}list`}>${names.map((name) => html`<option key=${name} value=${name}></option>`)}</datalist>
    ${help ? html`<p class="help" id=${`${id}help`}>${help}</p>` : null}
  </div>`;
}

function useNames(checkpoints, exports) {
  const [names, set] = useState([]);
  useEffect(() => {
    const kinds = ["run", ...(checkpoints ? ["checkpoint"] : []), ...(exports ? ["export"] : [])];
    const runs = () => get("runs?limit=5000").then(({ items }) => items.map(({ name }) => name));
    const asked = new URLSearchParams([["limit", 2000], ...kinds.map((kind) => ["kind", kind])]);
    const models = () => get(`models?${asked}`).then(({ items }) => items.map(({ address }) => address));
    (kinds.length === 1 ? runs() : models()).then(set, () => set([]));
  }, [checkpoints, exports]);
  return names;
}
