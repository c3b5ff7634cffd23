// Deleting runs: to the trash, from which they can be brought back.
import { html, useState } from "../../lib/html.js";
import { remove } from "../../lib/api.js";
import { t } from "../../lib/i18n.js";
import { Dialog } from "../../components/dialog.js";
import { tell } from "../../components/toast.js";

/** @param {{names: string[], onClose: (deleted: boolean) => void}} properties */
export function Deleting({ names, onClose }) {
  const [refused, setRefused] = useState([]);
  const [gone, setGone] = useState(0);
  const [busy, setBusy] = useState(false);
  const canGo = !refused.length || refused.some((each) => each.canGo);
  const go = async (anyway) => {
    setBusy(true);
    const wrong = [];
    const asked = refused.length ? refused.filter(({ canGo }) => canGo).map((each) => each.name) : names;
    for (const name of asked) {
      try {
        await remove(`runs/${encodeURIComponent(name)}${anyway ? "?anyway=true" : ""}`);
      } catch (error) {
        wrong.push({ name, message: error.message, canGo: error.status === 409 });
      }
    }
    const left = [...refused.filter((each) => !each.canGo), ...wrong];
    setBusy(false);
    setGone(names.length - left.length);
    setRefused(left);
    if (!left.length) (tell(t("runs.deleted", { count: names.length })), onClose(true));
  };
  const why = ({ name, message }) => html`<pre key=${name} class="bad">${message}</pre>`;
  return html`<${Dialog} title=${t("runs.delete")} onClose=${() => onClose(gone > 0)}>
    ${refused.length
      ? html`${gone ? html`<p>${t("runs.deleted", { count: gone })}</p>` : null}
          <div role="alert">${refused.map(why)}</div>`
      : html`<p>${t("runs.delete_ask", { count: names.length })}</p>
          <ul>${names.map((name) => html`<li key=${name}>${name}</li>`)}</ul>
          <p class="help">${t("runs.delete_help")}</p>`}
    <footer>
      <button type="button" onClick=${() => onClose(gone > 0)}>${t("page.cancel")}</button>
      ${canGo
        ? html`<button type="button" class="danger" disabled=${busy} onClick=${() => go(refused.length > 0)}>
            ${t(refused.length ? "runs.delete_anyway" : "runs.to_trash")}</button>`
        : null}
    </footer>
  </${Dialog}>`;
}
