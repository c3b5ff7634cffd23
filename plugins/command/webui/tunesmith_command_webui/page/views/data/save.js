// A new version of a set out of what was changed and judged; the set itself stays as it is.
import { html, useState } from "../../lib/html.js";
import { post } from "../../lib/api.js";
import { integer } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { Dialog } from "../../components/dialog.js";
import { tell } from "../../components/toast.js";
import { Failed } from "./words.js";

const KINDS = ["edits", "labels", "preferences"];

export function Save({ data, about, author, onDone, onClose }) {
  const [what, setWhat] = useState("edits");
  const [note, setNote] = useState("");
  const [judged, setJudged] = useState(false);
  const [error, setError] = useState(null);
  const save = async (event) => {
    event.preventDefault();
    try {
      const made = await post("data/versions", { data, author, what, note, only_judged: judged });
      tell(t("data.save.done", { path: made.path, rows: integer(made.rows) }));
      onDone();
    } catch (failed) {
      setError(failed.message);
    }
  };
  return html`<${Dialog} title=${t("data.save.title")} onClose=${onClose}>
    <form onSubmit=${save}>
      <fieldset><legend>${t("data.save.what")}</legend>
        ${KINDS.map((kind) => html`<label key=${kind}><input type="radio" name="what" checked=${what === kind}
          onChange=${() => setWhat(kind)} />${" "}${t(`data.save.kinds.${kind}`)}</label>
          <p class="help">${t(`data.save.help.${kind}`)}</p>`)}
      </fieldset>
      <label><input type="checkbox" checked=${judged} onChange=${() => setJudged(!judged)} />
        ${" "}${t("data.save.only_judged")}</label>
      <label>${t("data.save.note")} <input class="wide" value=${note}
        onInput=${(event) => setNote(event.target.value)} /></label>
      ${what === "edits" ? html`<p role="status">${t("data.save.changed", { count: about.changed })}</p>` : null}
      ${author ? null : html`<p class="warning">${t("data.who")}</p>`}
      <${Failed} error=${error} />
      <footer class="row"><button type="button" onClick=${onClose}>${t("page.cancel")}</button>
        <button class="main" disabled=${!author}>${t("data.save.action")}</button></footer>
    </form>
  </${Dialog}>`;
}
