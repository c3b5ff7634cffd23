// Deleting runs: to the trash, from which they can be brought back.
import { html, useState } from "../../lib/html.js";
import { remove } from "../../lib/api.js";
import { t } from "../../lib/i18n.js";
import { Dialog } from "../../components/dialog.js";
import { tell } from "../../components/toast.js";

/** @param {{names: string[], onClose: (deleted: boolean) => void}} properties */
export function Deleting({ names, onClose }) {
  const [refused, setRefused] = useState([]);
  const [busy, setBusy] = useState(false);
  const go = async (anyway) => {
    setBusy(true);
    const wrong = [];
    for (const name of refused.length ? refused.map((each) => each.name) : names) {
      try {
        await remove(`runs/${encodeURIComponent(name)}${anyway ? "?anyway=true" : ""}`);
      } catch (error) {
        wrong.push({ name, message: error.message });
      }
    }
    setBusy(false);
    setRefused(wrong);
    if (!wrong.length) (tell(t("runs.deleted", { count: names.length })), onClose(true));
  };
  const why = ({ name, message }) => html`<pre key=${name} class="bad">${message}</pre>`;
  return html`<${Dialog} title=${t("runs.delete")} onClose=${() => onClose(false)}>
    ${refused.length
      ? html`<div role="alert">${refused.map(why)}</div>`
      : html`<p>${t("runs.delete_ask", { count: names.length })}</p>
          <ul>${names.map((name) => html`<li key=${name}>${name}</li>`)}</ul>
          <p class="help">${t("runs.delete_help")}</p>`}
    <footer>
      <button type="button" onClick=${() => onClose(false)}>${t("page.cancel")}</button>
      <button type="button" class="danger" disabled=${busy} onClick=${() => go(refused.length > 0)}>
        ${t(refused.length ? "runs.delete_anyway" : "runs.to_trash")}
      </button>
    </footer>
  </${Dialog}>`;
}
