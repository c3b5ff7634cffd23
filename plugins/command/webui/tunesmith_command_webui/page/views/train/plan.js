// The plan beside the form: what is missing or wrong, whether it fits, and what mends it with one click.
import { html, useState } from "../../lib/html.js";
import { bytes, integer } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { Confirm } from "../../components/dialog.js";
import { kindOf } from "../../components/options.js";
import { attempt } from "../../components/toast.js";
import { Sentence } from "../../components/words.js";
import { isMissing, missing } from "./draft.js";

const DEVICES = "rtx3090 rtx4090 rtx5090 l4 l40s a100-40gb a100-80gb h100 h200 h100x8 cpu".split(" ");

export function Plan({ schema, draft, plan, machine, onMachine, onSearch }) {
  const { answer } = draft;
  const waits = draft.busy || plan.busy;
  return html`<section class="card plan" aria-labelledby="plan-title" aria-busy=${waits}>
    <div class="row"><h2 id="plan-title" class="grow">${t("train.plan")}
        <small class="soft">${waits ? ` ${t("train.reckoning")}` : ""}</small></h2>
      <label class="row">${t("train.on")}
        <input list="devices" size="12" value=${machine} placeholder=${t("train.thisMachine")}
          onChange=${({ target }) => onMachine(target.value.trim())} /></label>
      <datalist id="devices">${DEVICES.map((name) => html`<option value=${name} />`)}</datalist></div>
    ${draft.lost ? html`<${Lost} schema=${schema} draft=${draft} />` : null}
    <div class="told" aria-live="polite">
      <${State} draft=${draft} onSearch=${onSearch} />
      ${plan.error ? html`<p class="bad">${plan.error.message}</p>` : null}
      ${plan.figures ? html`<${Verdict} figures=${plan.figures} />` : null}
    </div>
  </section>`;
}

/** What the server says of the draft; where it could not say anything, that. */
function State({ draft, onSearch }) {
  if (draft.error) {
    return html`<pre class="bad">${draft.error.message}</pre>
      <button type="button" onClick=${draft.retry}>${t("train.retry")}</button>`;
  }
  return draft.answer ? html`<${Problems} draft=${draft} onSearch=${onSearch} />` : html`<p>${t("page.loading")}</p>`;
}

/** What was found as a text was read, and is in no option: keys that nobody knows, and what was made of others. */
function Lost({ schema, draft }) {
  const { problems, notices, unconfirmed } = draft.lost;
  const [asked, ask] = useState(null); // the file that is to be confirmed
  const take = () => {
    draft.confirm(asked, kindOf(schema, asked.kind).many);
    ask(null);
  };
  return html`<div class="lost" role="alert">
    <strong>${t(problems.length ? "train.notTaken" : "train.howRead")}</strong>
    <ul>
      ${problems.map(({ message, advice }) => html`<li>${message}${advice ? html`<pre>${advice}</pre>` : null}</li>`)}
      ${notices.map((notice) => html`<li><pre>${notice}</pre></li>`)}
    </ul>
    ${unconfirmed.map(
      (item) => html`<button type="button" key=${item.name} onClick=${() => ask(item)}>
        ${t("train.useFile", { file: item.file })} …</button>${" "}`,
    )}
    <button type="button" onClick=${draft.forget}>${t("page.close")}</button>
    ${asked
      ? html`<${Confirm} title=${t("train.useFile", { file: asked.file })} text=${t("train.useFileAsk", asked)}
          action=${t("train.useFile", { file: asked.file })} onYes=${take} onClose=${() => ask(null)} />`
      : null}
  </div>`;
}

function Problems({ draft, onSearch }) {
  const needs = missing(draft);
  const problems = draft.answer.problems.filter((problem) => !isMissing(draft, problem));
  if (!problems.length && !needs.length) return html`<p class="good">✓ ${t("train.noProblems")}</p>`;
  const isQuiet = needs.length > 0 && !Object.keys(draft.values).length;
  return html`
    ${needs.length ? html`<p>${needs.map((name) => t(`train.needs.${name}`)).join(" ")}</p>` : null}
    ${isQuiet
      ? null
      : html`<ul class="problems">${problems.map(
          (problem) => html`<${Wrong} key=${`${problem.key}${problem.message}`} ...${{ problem, draft, onSearch }} />`,
        )}</ul>`}`;
}

function Wrong({ problem, draft, onSearch }) {
  const option = optionOf(problem.key);
  const isError = problem.severity === "error";
  return html`<li class=${isError ? "bad" : "warning"}>
    <strong>${isError ? "✗" : "!"} ${t(`train.${problem.severity}`)}</strong>${" "}
    ${problem.line ? html`<span class="soft">${t("field.line", { line: problem.line })}</span> ` : null}
    <${Sentence} text=${problem.message} />
    ${problem.advice ? html`<pre class="help">${problem.advice}</pre>` : null}
    <div class="row">
      ${option
        ? html`<button type="button" class="small" onClick=${() => onSearch(option)}>
            ${t("train.show")} <code>${option}</code></button>`
        : null}
      <${Fixes} fixes=${problem.fixes} draft=${draft} /></div>
  </li>`;
}

/** The option that a key is in: data.train of data.train[0].path; none where a plugin is chosen. */
function optionOf(key) {
  const option = key.replace(/\[.*/, "");
  return option.includes(".") && !option.endsWith(".name") ? option : "";
}

/** Buttons, each of which makes one change. */
export function Fixes({ fixes, draft }) {
  if (!fixes?.length) return null;
  const apply = (overrides) => attempt(() => draft.apply(overrides));
  return html`<div class="row">${fixes.map(
    (overrides) => html`<button type="button" key=${overrides.join()} onClick=${() => apply(overrides)}>
      ${t("train.apply")} <code>${overrides.join(" ")}</code></button>`,
  )}</div>`;
}

function Verdict({ figures }) {
  const { trained, parameters } = figures;
  if (trained === 0 && parameters) {
    return html`<p class="verdict bad">✗ ${t("train.nothingTrained", { all: integer(parameters) })}</p>`;
  }
  const peak = bytes(figures.peak?.bytes);
  const room = bytes(figures.room && figures.room.total * figures.room.share);
  if (figures.fits === true) return html`<p class="verdict good">✓ ${t("train.fits", { peak, room })}</p>`;
  if (figures.fits === false) return html`<p class="verdict bad">✗ ${t("train.tooMuch", { peak, room })}</p>`;
  return html`<p class="verdict warning">? ${t("train.notKnown")}</p>`;
}
