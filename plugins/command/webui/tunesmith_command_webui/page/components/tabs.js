// Tabs as WAI-ARIA describes them: the arrow keys move between them, and one at a time is in the order of Tab.
import { html, useId, useRef } from "../lib/html.js";

/**
 * @param {{label: string, tabs: {id: string, label: string, content: () => any}[], now: string,
 *          onChange: (id: string) => void}} properties
 *   Only the content of the tab that is open is drawn.
 */
export function Tabs({ label, tabs, now, onChange }) {
  const own = useId();
  const list = useRef();
  const current = tabs.find(({ id }) => id === now) ?? tabs[0];
  const move = (event) => {
    const at = tabs.indexOf(current);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const next = (to + tabs.length) % tabs.length;
    onChange(tabs[next].id);
    list.current.children[next].focus();
  };
  const tab = ({ id, label: title }) => {
    const here = id === current.id;
    return html`<button type="button" role="tab" key=${id} id=${`${own}-${id}`} aria-selected=${String(here)}
      aria-controls=${here ? `${own}-panel` : null} tabindex=${here ? 0 : -1}
      onClick=${() => onChange(id)}>${title}</button>`;
  };
  return html`<div class="tabs">
    <div role="tablist" aria-label=${label} ref=${list} onKeyDown=${move}>${tabs.map(tab)}</div>
    <div role="tabpanel" id=${`${own}-panel`} aria-labelledby=${`${own}-${current.id}`} tabindex="0">
      ${current.content()}</div>
  </div>`;
}
