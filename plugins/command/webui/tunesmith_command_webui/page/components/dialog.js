// A dialog of the browser's own: it holds the focus, closes on Escape, and gives the focus back.
import { html, useEffect, useRef, useState } from "../lib/html.js";
import { t } from "../lib/i18n.js";
import { Toasts } from "./toast.js";

/**
 * @param {{title: string, onClose: () => void, children: any, wide?: boolean, changed?: boolean}} properties
 *   changed: something was written in it, which Escape and × do not lose without a question
 */
export function Dialog({ title, onClose, children, wide, changed }) {
  const element = useRef();
  const [asking, ask] = useState(false);
  const leave = (event) => {
    if (!changed || event.target !== event.currentTarget) return;
    event.preventDefault();
    ask(true);
  };
  useEffect(() => {
    const dialog = element.current;
    dialog.showModal();
    return () => dialog.close();
  }, []);
  return html`<dialog ref=${element} class=${wide ? "wide" : null} aria-label=${title}
    onClose=${(event) => event.target === event.currentTarget && onClose()} onCancel=${leave}>
    <header>
      <h2>${title}</h2>
      <button type="button" class="plain" aria-label=${t("page.close")}
        onClick=${() => (changed ? ask(true) : onClose())}>×</button>
    </header>
    <${Toasts} inside />
    ${children}
    ${asking
      ? html`<${Confirm} title=${t("page.discard")} text=${t("page.discard_text")} action=${t("page.discard")}
          onYes=${onClose} onClose=${() => ask(false)} />`
      : null}
  </dialog>`;
}

/** A question before something is lost. */
export function Confirm({ title, text, action, onYes, onClose }) {
  return html`<${Dialog} title=${title} onClose=${onClose}>
    <p>${text}</p>
    <footer>
      <button type="button" onClick=${onClose}>${t("page.cancel")}</button>
      <button type="button" class="danger" onClick=${onYes}>${action}</button>
    </footer>
  </${Dialog}>`;
}
