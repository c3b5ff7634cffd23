// Tabs as WAI-ARIA describes them: the arrow keys move between them, and one at a time is in the order of Tab.
import { html, useId, useRef } from "../lib/html.js";

/**
 * @param {{label: string, tabs: {name: string, title: string, content: () => any}[], now: string,
 *          onChange: (name: string) => void}} properties
 */
export function Tabs({ label, tabs, now, onChange }) {
  const id = useId();
  const list = useRef();
  const current = tabs.find(({ name }) => name === now) ?? tabs[0];
  const move = (event) => {
    const at = tabs.indexOf(current);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const next = (to + tabs.length) % tabs.length;
    onChange(tabs[next].name);
    list.current.children[next].focus();
  };
  const tab = ({ name, title }) => {
    const here = name === current.name;
    return html`<button type="button" role="tab" key=${name} id=${`${id}-${name}`} aria-selected=${String(here)}
      aria-controls=${here ? `${id}-panel` : null} tabindex=${here ? 0 : -1} onClick=${() => onChange(name)}>${title}</button>`;
  };
  return html`<div class="tabs">
    <div role="tablist" aria-label=${label} ref=${list} onKeyDown=${move}>${tabs.map(tab)}</div>
    <div role="tabpanel" id=${`${id}-panel`} aria-labelledby=${`${id}-${current.name}`} tabindex="0">${current.content()}</div>
  </div>`;
}
