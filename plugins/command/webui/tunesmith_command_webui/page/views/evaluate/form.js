// What is measured, by what, on what; the plan of it beside the form.
import { html, useEffect, useRef, useState } from "../../lib/html.js";
import { post } from "../../lib/api.js";
import { t } from "../../lib/i18n.js";
import { DataPicker } from "../../components/data_picker.js";
import { ModelPicker } from "../../components/model_picker.js";
import { Options } from "../../components/options.js";
import { attempt } from "../../components/toast.js";
import { Job } from "./job.js";
import { Plan } from "./plan.js";

const PAUSE = 900; // ms after the last change until a plan is asked for
const START = {
  kind: "eval",
  evaluator: { perplexity: {} },
  engine: undefined,
  data: [],
  most: "",
  before: false,
  overrides: "",
};
const NO_PLAN = { told: null, error: null, busy: false };

function kept() {
  try {
    return { ...START, ...JSON.parse(sessionStorage.getItem("evaluate.form") ?? "{}") };
  } catch {
    return START;
  }
}

/** The body of POST /api/evaluations. */
function asked(form) {
  const inFull = (entry) => (typeof entry === "string" ? { path: entry } : entry);
  const set = (entry) => (form.most ? { ...inFull(entry), max_samples: Number(form.most) } : entry);
  const chosen = Object.entries(form.evaluator ?? {});
  const evaluators = Object.fromEntries(chosen.map(([name, options]) => [name, options ?? {}]));
  return {
    kind: form.kind,
    model: form.model,
    evaluators: form.kind === "eval" ? evaluators : {},
    data: form.data.map(set),
    engine: form.engine ?? {},
    overrides: form.overrides.split("\n").map((line) => line.trim()).filter(Boolean),
    before: form.kind === "eval" && form.before,
  };
}

export function Form({ model }) {
  const [form, set] = useState({ ...kept(), model: model || kept().model || "" });
  const [job, setJob] = useState(null);
  const change = (values) => {
    const next = { ...form, ...values };
    sessionStorage.setItem("evaluate.form", JSON.stringify(next));
    set(next);
  };
  const plan = usePlan(form);
  const starting = useRef(false);
  const [busy, setBusy] = useState(false);
  const start = async () => {
    if (starting.current) return; // a second click comes before the button is drawn again
    setBusy((starting.current = true));
    const begun = await attempt(() => post("evaluations", asked(form)));
    if (begun) setJob(begun);
    setBusy((starting.current = false));
  };
  const kind = (name) => html`<label class="row" key=${name}>
    <input type="radio" name="kind" checked=${form.kind === name} onChange=${() => change({ kind: name })} />
    ${t(`evaluate.kinds.${name}`)}</label>`;
  const problems = plan.told?.problems ?? [];
  const ready = isReady(form);
  return html`<div class="columns evaluation">
    <div>
      <fieldset><legend>${t("evaluate.what")}</legend>
        <${ModelPicker} label=${t("evaluate.model")} value=${form.model} required
          onChange=${(address) => change({ model: address })} />
        <div class="row" role="group" aria-label=${t("evaluate.what")}>${["eval", "predict"].map(kind)}</div>
        ${form.kind === "eval"
          ? html`<label class="row"><input type="checkbox" checked=${form.before}
              onChange=${({ target }) => change({ before: target.checked })} />${t("evaluate.also_before")}</label>`
          : null}
      </fieldset>
      <fieldset><legend>${t("evaluate.data")}</legend>
        <${DataPicker} label=${t("evaluate.data")} value=${form.data} onChange=${(data) => change({ data })}
          help=${t("evaluate.data_help")} />
        <label>${t("evaluate.most")}<input type="number" min="1" value=${form.most}
          onInput=${({ target }) => change({ most: target.value })} /></label>
      </fieldset>
      ${form.kind === "eval"
        ? html`<fieldset><legend>${t("evaluate.evaluators")}</legend>
            <${Options} kind="evaluator" value=${form.evaluator} onChange=${(evaluator) => change({ evaluator })}
              problems=${problems} />
          </fieldset>`
        : null}
      <details><summary>${t("evaluate.engine")}</summary>
        <${Options} kind="engine" value=${form.engine} onChange=${(engine) => change({ engine })}
          problems=${problems} />
        <label>${t("evaluate.overrides")}<textarea class="code" rows="3" placeholder="template=qwen3"
          value=${form.overrides} onInput=${({ target }) => change({ overrides: target.value })}></textarea></label>
      </details>
    </div>
    <div class="evaluation-side">
      <${Plan} plan=${plan} ready=${ready} />
      <button type="button" class="main" disabled=${!ready || busy} onClick=${start}>
        ${t(`evaluate.start_${form.kind}`)}</button>
      ${job ? html`<${Job} key=${job.id} job=${job} />` : null}
    </div>
  </div>`;
}

/** Whether it is said what is measured, and by what. */
function isReady({ model, kind, evaluator }) {
  return Boolean(model) && (kind === "predict" || Object.keys(evaluator ?? {}).length > 0);
}

/** The plan of a form, a moment after it was changed last. */
function usePlan(form) {
  const [plan, set] = useState(NO_PLAN);
  const body = JSON.stringify(asked(form));
  useEffect(() => {
    if (!isReady(form)) return set(NO_PLAN);
    const stop = new AbortController();
    set((now) => ({ ...now, error: null, busy: true }));
    const ask = () => {
      post("evaluations/plan", JSON.parse(body), stop.signal).then(
        (told) => set({ told, error: null, busy: false }),
        (error) => error.name !== "AbortError" && set({ told: null, error, busy: false }),
      );
    };
    const waiting = setTimeout(ask, PAUSE);
    return () => (clearTimeout(waiting), stop.abort());
  }, [body]);
  return plan;
}
