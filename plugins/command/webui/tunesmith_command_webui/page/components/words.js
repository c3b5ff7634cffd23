// Words of plugins and configurations as the page shows them.
import { html } from "../lib/html.js";

/** A sentence in which what stands in backquotes is code. */
export function Sentence({ text }) {
  const parts = (text ?? "").split("`");
  if (parts.length % 2 === 0) return text;
  return parts.map((part, at) => (at % 2 ? html`<code>${part}</code>` : part));
}

/** A dotted key, which goes on in the next line where one of its words ends. */
export function Key({ name }) {
  return html`<code>${name.split(/(?<=[._])/).map((part, at) => (at ? html`<wbr />${part}` : part))}</code>`;
}
