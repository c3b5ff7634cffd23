// Options within options: groups of fields, lists of groups, and names with values.
import { html, useEffect, useState } from "../lib/html.js";
import { t } from "../lib/i18n.js";
import { shown } from "../lib/shapes.js";
import { Field, Input } from "./field.js";

/** A group's value in full: a text stands for the field that its shorthand names. */
function full(value, shape) {
  if (value === undefined || value === null) return {};
  return typeof value === "object" ? value : { [shape.shorthand ?? "path"]: value };
}

/** A group without what was not written; the shorthand alone where it is all there is. */
function short(value, shape) {
  const written = Object.entries(value).filter(([, item]) => item !== undefined);
  if (!written.length) return undefined;
  const [name, only] = written[0];
  const isShorthand = written.length === 1 && name === shape.shorthand && typeof only === "string";
  return isShorthand ? only : Object.fromEntries(written);
}

function Group({ shape, value, onChange, words }) {
  const now = full(value, shape);
  const set = (name, item) => onChange(short({ ...now, [name]: item }, shape));
  return shape.fields.map(
    (option) => html`<${Field} key=${option.name} option=${option} value=${now[option.name]}
      words=${`${words}.${option.name}`} onChange=${(item) => set(option.name, item)} />`,
  );
}

/** A group, or a list of them, each folded behind what it is about. */
export function ListOfGroups({ id, shape, value, onChange, words, single = false }) {
  const item = single ? shape : shape.item;
  if (single) {
    return html`<details class="nested" id=${id}>
      <summary>${value === undefined ? t("field.open") : shown(value)}</summary>
      <${Group} shape=${item} value=${value} onChange=${onChange} words=${words} /></details>`;
  }
  const items = Array.isArray(value) ? value : value === undefined || value === null ? [] : [value];
  const put = (index, changed) => {
    const next = items.map((other, at) => (at === index ? changed : other)).filter((other) => other !== undefined);
    onChange(next.length ? next : undefined);
  };
  return html`<div class="nested" id=${id} role="group" aria-labelledby=${`${id}-label`}>
    ${items.map(
      (one, index) => html`<details key=${index}>
        <summary>${typeof one === "object" ? one.path ?? shown(one) : one}</summary>
        <${Group} shape=${item} value=${one} onChange=${(changed) => put(index, changed ?? "")} words=${words} />
        <button type="button" onClick=${() => put(index, undefined)}>${t("field.remove")}</button>
      </details>`,
    )}
    <button type="button" onClick=${() => onChange([...items, ""])}>${t("field.add")}</button>
  </div>`;
}

/** Names with values. */
export function MapRows({ id, shape, value, onChange, onFault, words }) {
  const given = Object.entries(value && typeof value === "object" ? value : {});
  const [rows, setRows] = useState(given);
  useEffect(() => {
    const named = rows.filter(([name]) => name);
    const [here, there] = [named, given].map((pairs) => JSON.stringify(Object.fromEntries(pairs)));
    if (here !== there) setRows(given);
  }, [value]);
  const put = (next) => {
    setRows(next);
    const named = next.filter(([name]) => name);
    onChange(named.length ? Object.fromEntries(named.map(([name, item]) => [name, item ?? null])) : undefined);
  };
  const change = (index, row) => put(rows.map((other, at) => (at === index ? row : other)));
  return html`<div class="nested" id=${id} role="group" aria-labelledby=${`${id}-label`}>
    ${rows.map(
      ([name, item], index) => html`<div class="row" key=${index}>
        <input class="grow" aria-label=${t("field.name")} value=${name}
          onInput=${({ target }) => change(index, [target.value, item])} />
        <div class="grow"><label class="unseen" for=${`${id}-${index}`}>${t("field.value")}</label>
          <${Input} id=${`${id}-${index}`} shape=${shape.item} value=${item} onFault=${onFault} words=${words}
            onChange=${(changed) => change(index, [name, changed])} /></div>
        <button type="button" aria-label=${`${t("field.remove")}: ${name}`}
          onClick=${() => put(rows.filter((_, at) => at !== index))}>×</button>
      </div>`,
    )}
    <button type="button" onClick=${() => setRows([...rows, ["", undefined]])}>${t("field.add")}</button>
  </div>`;
}
