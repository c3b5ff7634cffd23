// What can be done with a run.
import { html, useState } from "../../lib/html.js";
import { patch, post } from "../../lib/api.js";
import { t } from "../../lib/i18n.js";
import { Dialog } from "../../components/dialog.js";
import { attempt, tell } from "../../components/toast.js";
import { Deleting } from "./deleting.js";
import { link } from "./links.js";

export function Acts({ run, onChange }) {
  const [open, setOpen] = useState(null);
  const working = ["running", "stopping"].includes(run.state);
  const resume = () =>
    attempt(async () => {
      await post("jobs/resume", { run: run.name });
      tell(t("runs.resumed"));
      location.hash = link("watch", run.name);
    });
  const to = (view) => {
    const address = link(view, view === "evaluate" ? run.path : run.name);
    return html`<a class="button" href=${address}>${t(`views.${view}`)}</a>`;
  };
  const repeated = `#train/run:${encodeURIComponent(run.name)}`;
  const deleted = (gone) => {
    setOpen(null);
    if (gone) location.hash = "#runs";
    else onChange();
  };
  return html`<div class="row acts">
    ${to("watch")} ${run.result || run.checkpoints ? ["chat", "evaluate", "export"].map(to) : null}
    ${run.foreign ? null : html`<a class="button" href=${repeated}>${t("runs.repeat")}</a>`}
    ${run.resumable ? html`<button type="button" class="main" onClick=${resume}>${t("runs.resume")}</button>` : null}
    <button type="button" disabled=${working} onClick=${() => setOpen("rename")}>${t("runs.rename")}</button>
    <button type="button" disabled=${working} onClick=${() => setOpen("delete")}>${t("runs.delete")}</button>
    ${open === "rename" ? html`<${Renaming} run=${run} onClose=${() => setOpen(null)} />` : null}
    ${open === "delete" ? html`<${Deleting} names=${[run.name]} onClose=${deleted} />` : null}
  </div>`;
}

function Renaming({ run, onClose }) {
  const [name, setName] = useState(run.name);
  const go = (event) => {
    event.preventDefault();
    attempt(async () => {
      const row = await patch(`runs/${encodeURIComponent(run.name)}`, { name: name.trim() });
      onClose();
      location.hash = link("runs", row.name);
    });
  };
  return html`<${Dialog} title=${t("runs.rename")} onClose=${onClose}>
    <form onSubmit=${go}>
      <label>${t("runs.new_name")}<input class="wide" type="text" required value=${name}
        onInput=${({ target }) => setName(target.value)} /></label>
      <p class="help">${t("runs.rename_help")}</p>
      <footer><button type="button" onClick=${onClose}>${t("page.cancel")}</button>
        <button class="main" disabled=${!name.trim() || name === run.name}>${t("runs.rename")}</button></footer>
    </form>
  </${Dialog}>`;
}
