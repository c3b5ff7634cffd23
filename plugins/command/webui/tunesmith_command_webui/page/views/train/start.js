// Starting a run: its name, its devices, now or in the queue; several of them as a sweep.
import { html, useState } from "../../lib/html.js";
import { post } from "../../lib/api.js";
import { t } from "../../lib/i18n.js";
import { attempt } from "../../components/toast.js";
import { Sweep } from "./sweep.js";

export function Start({ schema, draft, plan, machine }) {
  const [name, setName] = useState("");
  const [when, setWhen] = useState("queue");
  const [busy, setBusy] = useState(false);
  const [sweeping, setSweeping] = useState(false);
  const start = () =>
    attempt(async () => {
      setBusy(true);
      try {
        const { run } = await post("train", { values: draft.values, name, queued: when === "queue" });
        location.hash = `#watch/${encodeURIComponent(run)}`;
      } finally {
        setBusy(false);
      }
    });
  const waiting = draft.busy || busy;
  return html`<section class="card start" aria-label=${t("train.start")}>
    <div class="row">
      <label class="grow">${t("train.name")}
        <input class="wide" value=${name} placeholder=${t("train.nameFree")} onInput=${({ target }) => setName(target.value)} /></label>
      <label>${t("train.when")}
        <select value=${when} onChange=${({ target }) => setWhen(target.value)}>
          <option value="queue">${t("train.queued")}</option><option value="now">${t("train.now")}</option>
        </select></label>
    </div>
    <div class="row">
      <button type="button" class="main" disabled=${waiting || plan.wrong} onClick=${start}>${t("train.start")}</button>
      <button type="button" disabled=${!Object.keys(draft.values).length} onClick=${() => setSweeping(true)}>${t("train.sweep")}</button>
      ${plan.wrong && draft.answer && !draft.busy ? html`<span class="soft">${t("train.mendFirst")}</span>` : null}
    </div>
    ${sweeping ? html`<${Sweep} ...${{ schema, draft, name, machine }} onClose=${() => setSweeping(false)} />` : null}
  </section>`;
}
