// Train: a configuration as a form, with its plan beside it, and the way to start it.
import { html, useEffect, useState } from "../lib/html.js";
import { t } from "../lib/i18n.js";
import { useSchema } from "../components/options.js";
import { attempt, tell } from "../components/toast.js";
import { Begin } from "./train/begin.js";
import { useDraft, usePlan } from "./train/draft.js";
import { Figures } from "./train/figures.js";
import { Form } from "./train/form.js";
import { Plan } from "./train/plan.js";
import { Start } from "./train/start.js";
import { Texts } from "./train/text.js";

export default function Train({ detail }) {
  const { schema, error } = useSchema();
  const draft = useDraft();
  const [machine, setMachine] = useState("");
  const [sought, setSought] = useState("");
  const [beginning, setBeginning] = useState(null); // the name of what is being read
  const plan = usePlan(draft, machine);
  useEffect(() => {
    if (!detail) return;
    const [what, name] = [detail.slice(0, detail.indexOf(":")), detail.slice(detail.indexOf(":") + 1)];
    if (!["run", "source"].includes(what)) return;
    setBeginning(name);
    attempt(() => begun(what, name, draft)).finally(() => setBeginning(null));
  }, [detail]);
  if (error) return html`<p role="alert" class="bad">${error.message}</p>`;
  if (!schema) return html`<p aria-busy="true">${t("train.reading")}</p>`;
  if (beginning) return html`<p aria-busy="true">${t("train.beginning", { name: beginning })}</p>`;
  return html`<div class="train">
    <div class="train-form">
      <button type="button" class="to-plan" onClick=${toPlan}>${t("train.toPlan")}</button>
      <${Begin} draft=${draft} />
      <${Form} schema=${schema} draft=${draft} sought=${sought} onSearch=${setSought} />
    </div>
    <div class="train-side">
      <${Start} schema=${schema} draft=${draft} plan=${plan} machine=${machine} />
      <${Plan} schema=${schema} draft=${draft} plan=${plan} machine=${machine} onMachine=${setMachine}
        onSearch=${setSought} />
      <${Texts} draft=${draft} />
      <${Figures} draft=${draft} plan=${plan} />
    </div>
  </div>`;
}

/** On a phone the plan stands below the form. */
const toPlan = () => document.querySelector(".train-side").scrollIntoView({ behavior: "smooth" });

/** Begin with what the address names: #train/run:NAME, #train/source:conf/sft_lora.yaml. */
async function begun(what, name, draft) {
  const found = await draft.take(what === "run" ? { run: name } : { source: name });
  if (found.values === null) throw new Error(found.problems.map((problem) => problem.message).join("\n"));
  history.replaceState(null, "", "#train");
  tell(t("train.begun", { name }));
}
