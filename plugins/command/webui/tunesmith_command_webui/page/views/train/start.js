// Starting a run: its name, its devices, now or in the queue; several of them as a sweep.
import { html, useEffect, useId, useState } from "../../lib/html.js";
import { bytes } from "../../lib/format.js";
import { get, post } from "../../lib/api.js";
import { t } from "../../lib/i18n.js";
import { attempt } from "../../components/toast.js";
import { missing } from "./draft.js";
import { faultOf } from "./names.js";
import { Sweep } from "./sweep.js";

export function Start({ schema, draft, plan, machine }) {
  const [name, setName] = useState("");
  const [when, setWhen] = useState("queue");
  const [devices, setDevices] = useState([]);
  const [busy, setBusy] = useState(false);
  const [sweeping, setSweeping] = useState(false);
  const start = () =>
    attempt(async () => {
      setBusy(true);
      try {
        const { run } = await post("train", { values: draft.values, name, devices, queued: when === "queue" });
        location.hash = `#watch/${encodeURIComponent(run)}`;
      } finally {
        setBusy(false);
      }
    });
  const fault = faultOf(name);
  const isUnread = Object.values(draft.typed).some((text) => text !== null);
  const waiting = draft.busy || busy;
  const isHeld = waiting || plan.wrong || isUnread || Boolean(fault);
  const isWrong = plan.wrong && draft.answer && !draft.busy && !missing(draft).length;
  return html`<section class="card start" aria-label=${t("train.start")}>
    <div class="row">
      <${Name} name=${name} fault=${fault} onChange=${setName} placed=${draft.values.output_dir} />
      <label>${t("train.when")}
        <select class="wide" value=${when} onChange=${({ target }) => setWhen(target.value)}>
          <option value="queue">${t("train.queued")}</option><option value="now">${t("train.now")}</option>
        </select></label>
    </div>
    <${Devices} chosen=${devices} onChange=${setDevices} />
    <div class="row">
      <button type="button" class="main" disabled=${isHeld} onClick=${start}>
        ${t("train.start")}</button>
      <button type="button" disabled=${!Object.keys(draft.values).length} onClick=${() => setSweeping(true)}>
        ${t("train.sweep")}</button>
      ${isUnread ? html`<span class="soft">${t("train.readFirst")}</span>` : null}
      ${isWrong && !isUnread ? html`<span class="soft">${t("train.mendFirst")}</span>` : null}
    </div>
    ${sweeping
      ? html`<${Sweep} ...${{ schema, draft, name, devices, machine }} onClose=${() => setSweeping(false)} />`
      : null}
  </section>`;
}

/** The name of the run, and where that leaves the folder that the configuration says. */
function Name({ name, fault, onChange, placed }) {
  const id = useId();
  const own = placed?.split("/").filter(Boolean).pop();
  const told = fault ? t(fault) : placed ? t("train.placed", { folder: placed, name: name || own }) : "";
  return html`<div class="grow"><label for=${id}>${t("train.name")}</label>
    <input id=${id} class="wide" value=${name} placeholder=${own ?? t("train.nameFree")} aria-invalid=${Boolean(fault)}
      aria-describedby=${told ? `${id}-told` : null} onInput=${({ target }) => onChange(target.value)} />
    ${told ? html`<p id=${`${id}-told`} class=${`help ${fault ? "bad" : ""}`}>${told}</p>` : null}</div>`;
}

/** The GPUs that a run is to have; nothing to choose where there is none. */
function Devices({ chosen, onChange }) {
  const [gpus, setGpus] = useState([]);
  useEffect(() => {
    const known = ({ items }) => setGpus(items.filter(({ kind }) => kind !== "cpu"));
    get("devices").then(known, () => {});
  }, []);
  if (!gpus.length) return null;
  const toggle = (id, on) => onChange(on ? [...chosen, id].sort() : chosen.filter((other) => other !== id));
  return html`<fieldset class="devices"><legend>${t("train.devices")}</legend>
    ${gpus.map(
      ({ id, name, used, memory, jobs }) => html`<label key=${id}>
        <input type="checkbox" checked=${chosen.includes(id)} onChange=${({ target }) => toggle(id, target.checked)} />
        ${" "}${id}: ${name}${" "}
        <span class="soft">${bytes(used)} / ${bytes(memory)}${jobs?.length ? ` · ${t("train.taken")}` : ""}</span>
      </label>`,
    )}
    <p class="help">${chosen.length ? "" : t("train.anyDevice")}</p>
  </fieldset>`;
}
