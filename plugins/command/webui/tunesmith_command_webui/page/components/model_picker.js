// A model: of the workspace, of the hubs' caches, known by name, or any address that is typed.
import { html, useEffect, useId, useRef, useState } from "../lib/html.js";
import { get } from "../lib/api.js";
import { bytes, number } from "../lib/format.js";
import { t } from "../lib/i18n.js";

const RECENT = "recent-models";
const ROOM = 60; // suggestions at a time

const recent = () => JSON.parse(localStorage.getItem(RECENT) ?? "[]");

function remember(address) {
  const others = recent().filter((other) => other !== address);
  localStorage.setItem(RECENT, JSON.stringify([address, ...others].slice(0, 6)));
}

/**
 * A text field with suggestions (WAI-ARIA's combobox): arrows choose, Enter takes, Escape closes.
 * @param {{label: string, value: string, onChange: (address: string, told: object | null) => void,
 *          kinds?: string[], help?: string, required?: boolean, details?: boolean,
 *          onText?: (text: string) => void}} properties
 *   `kinds` leaves some of run, checkpoint, export, adapter, model, file, cached, known; the second argument of
 *   `onChange` is what the list says of the model that was chosen, null for a text that was typed. `onText` is told
 *   of a text while it is typed; `onChange` follows when the field is left.
 */
export function ModelPicker({ label, value, onChange, kinds = [], help, required = false, details = true, onText }) {
  const id = useId();
  const [text, setText] = useState(value ?? "");
  const [open, setOpen] = useState(false);
  const [at, setAt] = useState(-1);
  const found = useSuggestions(open, text === value ? "" : text, kinds);
  const items = useRef([]);
  const list = useRef();
  useEffect(() => setText(value ?? ""), [value]);
  useEffect(() => {
    const former = items.current; // what was chosen stays so, when the same list comes again
    items.current = found.items;
    setAt((now) => found.items.findIndex(({ address }) => address === former[now]?.address));
  }, [found.items]);
  useEffect(() => list.current?.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" }), [at]);

  const take = (address, told) => {
    setText(address);
    setOpen(false);
    if (address) remember(address);
    if (address !== value) onChange(address, told ?? null);
  };
  const move = (by) => {
    setOpen(true);
    const count = found.items.length;
    if (count) setAt((now) => (now < 0 ? (by > 0 ? 0 : count - 1) : (now + by + count) % count));
  };
  const typed = (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") move(event.key === "ArrowDown" ? 1 : -1);
    else if (event.key === "Enter") take(open && at >= 0 ? found.items[at].address : text.trim(), found.items[at]);
    else if (event.key === "Escape" && open) setOpen(false);
    else return;
    event.preventDefault();
  };
  const input = ({ target }) => {
    setText(target.value);
    setOpen(true);
    onText?.(target.value.trim());
  };
  const left = () => {
    setOpen(false);
    if (text.trim() !== (value ?? "")) take(text.trim());
  };
  return html`<div class="picker">
    <label for=${id}>${label}</label>
    <input id=${id} type="text" role="combobox" autocomplete="off" spellcheck=${false} aria-autocomplete="list"
      aria-expanded=${open} aria-controls=${`${id}list`} aria-describedby=${help ? `${id}help` : null}
      aria-activedescendant=${open && at >= 0 ? `${id}at${at}` : null} required=${required} value=${text}
      placeholder=${t("models.placeholder")} onFocus=${() => setOpen(true)} onClick=${() => setOpen(true)}
      onInput=${input} onKeyDown=${typed} onBlur=${left} />
    ${help ? html`<p class="help" id=${`${id}help`}>${help}</p>` : null}
    <div class="picker-list" id=${`${id}list`} role="listbox" tabindex="-1" aria-label=${label} ref=${list}
      hidden=${!open}>
      ${open ? html`<${Suggestions} id=${id} found=${found} at=${at} take=${take} />` : null}
    </div>
    ${details ? html`<${Details} address=${value} />` : null}
  </div>`;
}

function useSuggestions(open, search, kinds) {
  const [found, set] = useState({ items: [], total: 0, whole: true });
  useEffect(() => {
    if (!open) return undefined;
    const asked = new AbortController();
    const query = new URLSearchParams({ search, limit: ROOM });
    kinds.forEach((kind) => query.append("kind", kind));
    const ask = () => get(`models?${query}`, asked.signal).then((said) => set(ordered(said, search)), () => {});
    const waiting = setTimeout(ask, search ? 150 : 0);
    return () => (clearTimeout(waiting), asked.abort());
  }, [open, search, kinds.join()]);
  return found;
}

/** The list with those that were used last before it. */
function ordered(said, search) {
  const last = search ? [] : recent().map((address) => ({ address, name: address, kind: "recent" }));
  return { ...said, items: [...last, ...said.items] };
}

function Suggestions({ id, found, at, take }) {
  const rows = found.items.map((item, index) => {
    const begins = item.kind !== found.items[index - 1]?.kind;
    const chosen = (event) => (event.preventDefault(), take(item.address, item));
    return html`
      ${begins ? html`<div class="picker-group" role="presentation">${t(`models.kinds.${item.kind}`)}</div>` : null}
      <div class="picker-option" role="option" id=${`${id}at${index}`} aria-selected=${index === at}
        onMouseDown=${chosen}>
        <span>${item.name}</span> <span class="soft">${short(item)}</span>
      </div>`;
  });
  const more = found.total > found.items.length;
  return html`${rows}
    ${rows.length ? null : html`<div class="help picker-group" role="presentation">${t("models.none")}</div>`}
    ${more ? html`<div class="help picker-group" role="presentation">${t("models.more", found)}</div>` : null}
    ${found.whole ? null : html`<div class="help picker-group" role="presentation">${t("models.bounded")}</div>`}`;
}

/** What tells models apart, in few words. */
export function short(item) {
  const parameters = item.parameters ? count(item.parameters) : null;
  return [parameters, item.quantized ?? item.dtype, item.size ? bytes(item.size) : null, item.base && `→ ${item.base}`]
    .filter(Boolean)
    .join(" · ");
}

/** 8000000000 → 8B, as names of models have it. */
export function count(parameters) {
  const [unit, size] = parameters >= 1e9 ? ["B", 1e9] : parameters >= 1e6 ? ["M", 1e6] : ["k", 1e3];
  return `${number(parameters / size, 3)}${unit}`;
}

const SHOWN = [
  ...["parameters", "dtype", "quantized", "size", "context"],
  ...["architecture", "template", "base", "rank", "licence"],
];

/** What is known of a model, in a line; its room is kept where there is none, so that nothing below it moves. */
export function Details({ address }) {
  const [told, set] = useState(null);
  const [error, setError] = useState(null);
  useEffect(() => {
    const asked = new AbortController();
    set(null);
    setError(null);
    if (!address) return undefined;
    get(`models/described?${new URLSearchParams({ address })}`, asked.signal).then(set, (failed) => {
      if (failed.name !== "AbortError") setError(failed.message);
    });
    return () => asked.abort();
  }, [address]);
  if (error) return html`<p class="help picker-told bad">${error}</p>`;
  if (!told) return html`<p class="help picker-told"></p>`;
  const part = (name) => html`<span>${t(`models.${name}`)} ${shown(name, told)}</span>`;
  const parts = SHOWN.filter((name) => told[name]).map(part);
  const hubs = Object.entries(told.hubs ?? {}).map(([hub, model]) => html`<span>${hub}: ${model}</span>`);
  const unknown = told.kind === "hub" ? html`<span>${t("models.on_hub")}</span>` : null;
  return html`<p class="help picker-told">${parts}${hubs}${unknown}</p>`;
}

function shown(name, told) {
  if (name === "parameters") return count(told.parameters) + (told.by_name ? ` (${t("models.by_name")})` : "");
  if (name === "size") return bytes(told.size);
  if (name === "context") return t("models.tokens", { n: number(told.context) });
  return name === "template" && told.template === "own" ? t("models.own_template") : told[name];
}
