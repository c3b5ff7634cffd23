// The form: model, data, method, training, and all the rest, from the fields of what is installed.
import { html, useMemo, useState } from "../../lib/html.js";
import { t } from "../../lib/i18n.js";
import { ModelPicker } from "../../components/model_picker.js";
import { Field } from "../../components/field.js";
import { kindOf, OptionField, Options, searchable, selectedOf, withOption, withOwn } from "../../components/options.js";
import { DataSets } from "./data.js";
import { isMissing } from "./draft.js";

const METHOD = ["stage", "adapter", "quantizer"];
const MORE = ["optimizer", "loss", "reward", "patch", "parallel", "tracker", "engine", "hub", "format", "evaluator"];
const FOUND = 40; // options that a search shows

/**
 * @param {object} properties
 * @param {string} properties.sought words of options that are looked for; none shows the sections
 */
export function Form({ schema, draft, sought, onSearch }) {
  const [changed, setChanged] = useState(false);
  const filtered = sought.trim() || changed;
  return html`
    <div class="row find" role="search">
      <label class="grow"><span class="unseen">${t("train.find")}</span>
        <input type="search" class="wide" placeholder=${t("train.find")} value=${sought}
          onInput=${({ target }) => onSearch(target.value)} /></label>
      <label><input type="checkbox" checked=${changed} onChange=${({ target }) => setChanged(target.checked)} />${" "}
        ${t("train.changedOnly")}</label>
    </div>
    ${filtered
      ? html`<${Found} ...${{ schema, draft, sought, changed }} />`
      : html`<${Sections} schema=${schema} draft=${draft} />`}
  `;
}

/** Options of everything that is selected in which the words occur, and the options of a run. */
function Found({ schema, draft, sought, changed }) {
  const { values, answer } = draft;
  const own = answer?.own;
  const all = useMemo(() => searchable(withOwn(schema, own), values), [schema, own, values]);
  const words = sought.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const of = ({ kind, plugin }) => (kind.many ? values[kind.name]?.[plugin.name] : values[kind.name]);
  const given = (one) => of(one)?.[one.option.name] !== undefined;
  const run = schema.run.filter((option) => values[option.name] !== undefined || !changed);
  const textOf = ({ name, help }) => `${name} ${help}`.toLowerCase();
  const runs = run.filter((option) => words.every((word) => textOf(option).includes(word)));
  const found = all.filter((one) => words.every((word) => one.text.includes(word)) && (!changed || given(one)));
  const shown = found.slice(0, FOUND);
  return html`<section aria-label=${t("train.found")}>
    <p role="status">${t("train.foundCount", { count: found.length + runs.length })}</p>
    <div class="fields">
      ${runs.map((option) => html`<${RunField} key=${option.name} option=${option} draft=${draft} />`)}
      ${shown.map(
        ({ kind, plugin, option, at }) => html`<${OptionField} key=${at} ...${{ kind, plugin, option }}
          value=${values[kind.name]} problems=${answer?.problems} origins=${answer?.origins}
          onChange=${(value) => draft.set(kind.name, value)} />`,
      )}
    </div>
    ${found.length > shown.length
      ? html`<p class="soft">${t("train.narrow", { count: found.length - shown.length })}</p>`
      : null}
  </section>`;
}

function RunField({ option, draft }) {
  const problems = (draft.answer?.problems ?? []).filter((problem) => problem.key === option.name);
  return html`<${Field} option=${option} value=${draft.values[option.name]} words=${`options.run.${option.name}`}
    problems=${problems} onChange=${(value) => draft.set(option.name, value)} />`;
}

function Kind({ name, draft, hidden }) {
  const { problems, origins, own } = draft.answer ?? {};
  return html`<${Options} kind=${name} value=${draft.values[name]} ...${{ problems, origins, own, hidden }}
    onChange=${(value) => draft.set(name, value)} />`;
}

function Sections({ schema, draft }) {
  const { values } = draft;
  const isWrong = (problem) => problem.key === "model.path" && !isMissing(draft, problem);
  const problems = (draft.answer?.problems ?? []).filter(isWrong);
  const kinds = MORE.filter((name) => kindOf(schema, name));
  const set = kinds.filter((name) => values[name] !== undefined).length;
  const more = kinds.map((name) => t(`kinds.${name}`)).join(", ");
  const common = schema.run.filter((option) => schema.common.run.includes(option.name));
  const model = kindOf(schema, "model");
  const [loader] = selectedOf(model, values.model);
  return html`
    <fieldset><legend>${t("train.model")}</legend>
      <${ModelPicker} label=${t("train.modelPath")} value=${values.model?.path ?? ""} required
        onChange=${(path) => draft.set("model", withOption(model, values.model, loader, "path", path || undefined))} />
      ${problems.map((problem) => html`<p class="bad help">${problem.message}</p>`)}
      <${Kind} name="template" draft=${draft} />
      <${Folded} title=${t("train.loading")} set=${Object.keys(values.model ?? {}).some((name) => name !== "path")}>
        <${Kind} name="model" draft=${draft} hidden=${["path"]} /></${Folded}>
    </fieldset>
    <fieldset><legend>${t("train.data")}</legend>
      <${DataSets} schema=${schema} draft=${draft} />
      <${Kind} name="data" draft=${draft} hidden=${["train", "eval"]} />
    </fieldset>
    <fieldset><legend>${t("train.method")}</legend>
      ${METHOD.map((name) => html`<${Kind} key=${name} name=${name} draft=${draft} />`)}
      <${Folded} title=${t("train.moreKinds", { kinds: more })} set=${set}>
        ${kinds.map((name) => html`<${Kind} key=${name} name=${name} draft=${draft} />`)}</${Folded}>
    </fieldset>
    <fieldset><legend>${t("train.training")}</legend>
      <${Kind} name="trainer" draft=${draft} />
      <div class="fields">
        ${common.map((option) => html`<${RunField} key=${option.name} option=${option} draft=${draft} />`)}</div>
    </fieldset>
  `;
}

/** What most people leave alone: made when it is opened. */
function Folded({ title, set, children }) {
  const [open, setOpen] = useState(false);
  return html`<details onToggle=${({ target, currentTarget }) => target === currentTarget && setOpen(target.open)}>
    <summary>${title}${set ? html` <span class="badge">${t("train.changed")}</span>` : null}</summary>
    ${open ? children : null}
  </details>`;
}
