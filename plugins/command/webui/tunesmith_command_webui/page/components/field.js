// One option of a plugin as a labelled field: its help, its default, what is wrong with it, and a way back.
import { html, useEffect, useId, useState } from "../lib/html.js";
import { number } from "../lib/format.js";
import { maybe, t } from "../lib/i18n.js";
import { isScalar, read, readLines, shown, suggestions } from "../lib/shapes.js";
import { ListOfGroups, MapRows } from "./nested.js";
import { Key, Sentence } from "./words.js";

/** What an option is called, and what it says of itself, in the language of the page where somebody wrote it. */
export const helpOf = (option, words) => maybe(`${words}.help`) ?? maybe(`${shared(words)}.help`) ?? option.help;
export const labelOf = (option, words) => maybe(`${words}.label`) ?? maybe(`${shared(words)}.label`);

/** Where the words of an option are that many plugins of a kind have, as templates do: "options.template.*.NAME". */
const shared = (words) => words.replace(/^(options\.\w+)\.[^.]+/, "$1.*");

/** Whether an option holds fields of its own, so that its label is that of a group. */
const isNested = ({ kind, item }) => kind === "group" || kind === "map" || (kind === "list" && !isScalar(item));

/**
 * @param {object} properties
 * @param {object} properties.option as GET /api/schema has it
 * @param {any} properties.value undefined is the default
 * @param {(value: any) => void} properties.onChange undefined takes what was written away
 * @param {string} [properties.words] where its words are: "options.adapter.lora.rank"
 * @param {string} [properties.path] shown instead of the name: "adapter.rank"
 * @param {{message: string}[]} [properties.problems] what the plan finds wrong with it
 * @param {string} [properties.origin] where its value comes from, such as "line 7"
 */
export function Field({ option, value, onChange, words = "", path, problems = [], origin }) {
  const id = useId();
  const [fault, setFault] = useState(null);
  useEffect(() => setFault(null), [value]);
  const wrong = fault ? t(`field.${fault[0]}`, fault[1]) : problems.map(inWords).join(" ");
  const at = path ?? option.name;
  const label = labelOf(option, words);
  const title = html`${label ? `${label} ` : null}<${Key} name=${at} />
    ${option.required ? html` <em>${t("field.required")}</em>` : null}
    ${option.guarded ? html` <span class="badge">${t("field.guarded")}</span>` : null}`;
  const told = `${id}-help${wrong ? ` ${id}-wrong` : ""}`;
  const given = value !== undefined;
  return html`<div class=${`field ${given ? "given" : ""}`}>
    <div class="field-head">
      ${isNested(option.shape)
        ? html`<span id=${`${id}-label`}>${title}</span>`
        : html`<label for=${id}>${title}</label>`}
      ${given
        ? html`<button type="button" class="plain small" onClick=${() => onChange(undefined)}
            title=${origin ?? null} aria-label=${`${t("field.reset")}: ${at}`}>${t("field.reset")}</button>`
        : null}
    </div>
    <${Input} id=${id} shape=${option.shape} value=${value} usual=${option.default} told=${told} wrong=${Boolean(wrong)}
      onChange=${onChange} onFault=${setFault} words=${words} />
    <p class="help" id=${`${id}-help`}><${Sentence} text=${helpOf(option, words)} />${" "}
      ${option.guarded ? `${t("field.guardedHelp")} ` : null}
      <${Usual} option=${option} given=${given} /></p>
    ${wrong ? html`<p class="bad help" id=${`${id}-wrong`}>${wrong}</p>` : null}
  </div>`;
}

/** A problem with what is possible instead. */
const inWords = ({ message, advice }) => [message, advice?.split("\n")[0]].filter(Boolean).join(" ");

const SAID = ["boolean", "choice", "text", "list", "group"]; // kinds whose field shows by itself what it takes

const TYPES = ["integer", "number", "text", "boolean"];

/** The type of a shape and its range in the language of the page; null for one that is more than that. */
function typeOf(shape) {
  const members = shape.kind === "union" ? shape.members : [shape];
  if (!members.every(({ kind }) => TYPES.includes(kind) || kind === "choice")) return null;
  const names = members.flatMap(({ kind, choices }) => (kind === "choice" ? choices : t(`field.types.${kind}`)));
  if (shape.optional) names.push(t("field.none"));
  return [names.join(" | "), rangeOf(members.find(isBounded))].filter(Boolean).join(" · ");
}

const BOUNDS = { minimum: "least", exclusiveMinimum: "above", maximum: "most", exclusiveMaximum: "below" };
const isBounded = (shape) => Object.keys(BOUNDS).some((bound) => shape[bound] !== undefined);

function rangeOf(shape) {
  if (!shape) return null;
  const bounds = Object.keys(BOUNDS).filter((bound) => shape[bound] !== undefined);
  return bounds.map((bound) => t(`field.range.${BOUNDS[bound]}`, { limit: number(shape[bound], 12) })).join(", ");
}

/** The type where the field does not show it, and the default that a value stands in the place of. */
function Usual({ option, given }) {
  const usual = given && !option.required && option.shape.kind !== "group";
  const said = [
    ...(SAID.includes(option.shape.kind) ? [] : [typeOf(option.shape) ?? option.type]),
    ...(usual ? [t("field.default", { value: shown(option.default) || '""' })] : []),
  ];
  return said.length ? html`<span class="type">${said.join(" · ")}</span>` : null;
}

/** What a value is entered by, for its shape. */
export function Input(properties) {
  const { shape, id, value, onChange } = properties;
  if (shape.kind === "boolean") return html`<${Choice} ...${properties} choices=${[true, false]} />`;
  if (shape.kind === "choice") return html`<${Choice} ...${properties} choices=${shape.choices} />`;
  if (shape.kind === "group") return html`<${ListOfGroups} ...${properties} single />`;
  if (shape.kind === "list" && shape.item.kind === "group") return html`<${ListOfGroups} ...${properties} />`;
  if (shape.kind === "list" && isScalar(shape.item)) return html`<${Lines} ...${properties} />`;
  if (shape.kind === "map") return html`<${MapRows} ...${properties} />`;
  return html`<${Line} ...${properties} key=${id} value=${value} onChange=${onChange} />`;
}

function Choice({ id, shape, value, usual, choices, onChange, told, wrong }) {
  const all = shape.optional ? [...choices, null] : choices;
  const at = value === undefined ? "" : String(all.findIndex((choice) => choice === value));
  const name = (choice) => {
    if (choice === null) return t("field.none");
    return typeof choice === "boolean" ? t(`field.${choice}`) : String(choice);
  };
  return html`<select id=${id} value=${at} aria-describedby=${told} aria-invalid=${wrong}
    onChange=${({ target }) => onChange(target.value === "" ? undefined : all[Number(target.value)])}>
    <option value="">${usual === undefined ? t("field.choose") : t("field.default", { value: name(usual) })}</option>
    ${value !== undefined && at === "-1" ? html`<option value="-1">${shown(value)}</option>` : null}
    ${all.map((choice, index) => html`<option value=${String(index)}>${name(choice)}</option>`)}
  </select>`;
}

/** A text field that keeps what is typed until it is left, so that 1e- on the way to 1e-4 is no mistake. */
function Line({ id, shape, value, usual, onChange, onFault, told, wrong }) {
  const [text, setText] = useState(shown(value));
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    if (!busy) setText(shown(value));
  }, [value, busy]);
  const typed = ({ target }) => {
    setText(target.value);
    if (target.value === "") return onFault(null), onChange(undefined);
    const found = read(target.value, shape);
    if (!found.fault) onChange(found.value);
    queueMicrotask(() => onFault(found.fault ?? null));
  };
  const left = () => {
    setBusy(false);
    const found = text === "" ? {} : read(text, shape);
    if (found.fault) onChange(found.value), queueMicrotask(() => onFault(found.fault));
  };
  const offered = shape.kind === "union" ? suggestions(shape) : [];
  const numeric = shape.kind === "integer" || shape.kind === "number";
  const empty = usual === null ? t("field.none") : shown(usual) || null;
  return html`<input id=${id} type="text" value=${text} autocomplete="off" spellcheck=${false}
      inputmode=${numeric ? "decimal" : null} list=${offered.length ? `${id}-list` : null}
      placeholder=${empty} aria-describedby=${told} aria-invalid=${wrong}
      onInput=${typed} onFocus=${() => setBusy(true)} onBlur=${left} />
    ${offered.length
      ? html`<datalist id=${`${id}-list`}>${offered.map((one) => html`<option value=${one} />`)}</datalist>`
      : null}`;
}

/** A list with a line for each item. */
function Lines({ id, shape, value, usual, onChange, onFault, told, wrong }) {
  const lines = (items) => (Array.isArray(items) ? items.map(shown).join("\n") : shown(items ?? undefined));
  const [text, setText] = useState(lines(value));
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    if (!busy) setText(lines(value));
  }, [value, busy]);
  const typed = ({ target }) => {
    setText(target.value);
    const found = readLines(target.value, shape);
    onChange(target.value.trim() ? found.value : undefined);
    queueMicrotask(() => onFault(found.fault ?? null));
  };
  const rows = Math.min(Math.max(text.split("\n").length, 1), 8);
  return html`<textarea id=${id} rows=${rows} value=${text} spellcheck=${false}
    placeholder=${lines(usual) || t("field.lines")} aria-describedby=${told} aria-invalid=${wrong}
    onInput=${typed} onFocus=${() => setBusy(true)} onBlur=${() => setBusy(false)}></textarea>`;
}
