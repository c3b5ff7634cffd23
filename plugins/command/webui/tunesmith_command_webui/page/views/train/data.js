// The data sets that are trained on and evaluated on, and what a run would see of them.
import { html, useState } from "../../lib/html.js";
import { t } from "../../lib/i18n.js";
import { DataPicker } from "../../components/data_picker.js";
import { Dialog } from "../../components/dialog.js";
import { kindOf, OptionField, pluginOf, selectedOf, withOption } from "../../components/options.js";
import { Preview } from "../../components/preview.js";
import { isMissing } from "./draft.js";

const SETS = ["train", "eval"];

export function DataSets({ schema, draft }) {
  const [looking, setLooking] = useState(false);
  const [open, setOpen] = useState(false);
  const kind = kindOf(schema, "data");
  const [name] = selectedOf(kind, draft.values.data);
  const plugin = pluginOf(kind, name);
  const value = draft.values.data;
  const problems = draft.answer?.problems ?? [];
  const ofSets = ({ key }) => SETS.some((set) => key.startsWith(`data.${set}`));
  const wrong = problems.filter((problem) => ofSets(problem) && !isMissing(draft, problem));
  const known = SETS.filter((set) => plugin?.options.some((option) => option.name === set));
  const put = (set, sets) => draft.set("data", withOption(kind, value, name, set, sets?.length ? sets : undefined));
  return html`
    ${known.map(
      (set) => html`<${DataPicker} key=${set} label=${t(`train.sets.${set}`)} value=${listed(value?.[set])}
        onChange=${(sets) => put(set, sets)} />`,
    )}
    ${wrong.map((problem) => html`<p class="bad help" key=${problem.message}>${problem.message}</p>`)}
    <div class="row">
      <button type="button" disabled=${!value?.train?.length || !draft.values.model} onClick=${() => setLooking(true)}>
        ${t("train.preview")}</button>
    </div>
    <details onToggle=${({ target, currentTarget }) => target === currentTarget && setOpen(target.open)}>
      <summary>${t("train.eachSet")}</summary>
      ${open
        ? known.map(
            (set) => html`<${OptionField} key=${set} kind=${kind} plugin=${plugin} value=${value} problems=${wrong}
              option=${plugin.options.find((option) => option.name === set)}
              onChange=${(next) => draft.set("data", next)} />`,
          )
        : null}
    </details>
    ${looking
      ? html`<${Dialog} wide title=${t("train.preview")} onClose=${() => setLooking(false)}>
          <${Preview} configuration=${draft.values} /></${Dialog}>`
      : null}
  `;
}

/** A list of data sets; one alone may stand for a list. */
const listed = (sets) => (Array.isArray(sets) ? sets : sets ? [sets] : []);
