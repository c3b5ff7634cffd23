// The plan beside the form: what is wrong, whether it fits, how long it takes, and changes that mend it.
import { html } from "../../lib/html.js";
import { bytes, duration, integer, number, percent } from "../../lib/format.js";
import { maybe, t } from "../../lib/i18n.js";
import { count } from "../../components/model_picker.js";
import { attempt } from "../../components/toast.js";

const DEVICES = ["rtx3090", "rtx4090", "rtx5090", "l4", "l40s", "a100-40gb", "a100-80gb", "h100", "h200", "h100x8", "cpu"];

export function Plan({ draft, plan, machine, onMachine, onSearch }) {
  const { answer, busy } = draft;
  const { figures } = plan;
  return html`<section class="card plan" aria-labelledby="plan-title" aria-busy=${busy || plan.busy}>
    <div class="row"><h2 id="plan-title" class="grow">${t("train.plan")}</h2>
      <label class="row">${t("train.on")}
        <input list="devices" size="12" value=${machine} placeholder=${t("train.thisMachine")}
          onChange=${({ target }) => onMachine(target.value.trim())} /></label>
      <datalist id="devices">${DEVICES.map((name) => html`<option value=${name} />`)}</datalist></div>
    <div aria-live="polite">
      ${answer ? html`<${Problems} problems=${answer.problems} draft=${draft} onSearch=${onSearch} />` : html`<p>${t("page.loading")}</p>`}
      ${plan.error ? html`<p class="bad">${plan.error.message}</p>` : null}
      ${figures ? html`<${Verdict} figures=${figures} />` : answer && !plan.wrong ? html`<p class="soft">${t("train.reckoning")}</p>` : null}
    </div>
    ${figures ? html`<${Figures} figures=${figures} draft=${draft} looking=${plan.looking} />` : null}
    ${(answer?.notices ?? []).length
      ? html`<details><summary>${t("train.notices", { count: answer.notices.length })}</summary>
          <ul>${answer.notices.map((notice) => html`<li><pre>${notice}</pre></li>`)}</ul></details>`
      : null}
  </section>`;
}

function Problems({ problems, draft, onSearch }) {
  if (!problems.length) return html`<p class="good">✓ ${t("train.noProblems")}</p>`;
  return html`<ul class="problems">${problems.map(
    (problem) => html`<li key=${`${problem.key}${problem.message}`} class=${problem.severity === "error" ? "bad" : "warning"}>
      <strong>${problem.severity === "error" ? "✗" : "!"} ${t(`train.${problem.severity}`)}</strong>${" "}
      ${problem.line ? html`<span class="soft">${t("field.line", { line: problem.line })}</span> ` : null}${problem.message}
      ${problem.advice ? html`<pre class="help">${problem.advice}</pre>` : null}
      <div class="row">
        ${optionOf(problem.key) ? html`<button type="button" class="small" onClick=${() => onSearch(optionOf(problem.key))}>
          ${t("train.show")} <code>${optionOf(problem.key)}</code></button>` : null}
        <${Fixes} fixes=${problem.fixes} draft=${draft} /></div>
    </li>`,
  )}</ul>`;
}

/** The option that a key is in: data.train of data.train[0].path; none where a plugin is chosen. */
function optionOf(key) {
  const option = key.replace(/\[.*/, "");
  return option.includes(".") && !option.endsWith(".name") ? option : "";
}

function Fixes({ fixes, draft }) {
  if (!fixes?.length) return null;
  return html`<div class="row">${fixes.map(
    (overrides) => html`<button type="button" key=${overrides.join()} onClick=${() => attempt(() => draft.apply(overrides))}>
      ${t("train.apply")} <code>${overrides.join(" ")}</code></button>`,
  )}</div>`;
}

function Verdict({ figures }) {
  const peak = bytes(figures.peak?.bytes);
  const room = bytes(figures.room && figures.room.total * figures.room.share);
  if (figures.fits === true) return html`<p class="verdict good">✓ ${t("train.fits", { peak, room })}</p>`;
  if (figures.fits === false) return html`<p class="verdict bad">✗ ${t("train.tooMuch", { peak, room })}</p>`;
  return html`<p class="verdict warning">? ${t("train.notKnown")}</p>`;
}

/** The words for a part of memory, such as optimizer states; those of the server where the page has none. */
const part = (name) => maybe(`train.part.${name.replaceAll(" ", "_")}`) ?? name;
const phase = (name) => maybe(`train.phase.${name}`) ?? name;
const short = (seconds) => (seconds < 10 ? `${number(seconds, 2)} s` : duration(seconds));
const sum = (parts) => Object.values(parts).reduce((all, size) => all + size, 0);

function Figures({ figures, draft, looking }) {
  return html`
    ${figures.peak?.bytes ? html`<${Memory} figures=${figures} />` : null}
    <${Summary} figures=${figures} />
    ${looking ? html`<p class="soft" role="status">${t("train.looking")}</p>` : null}
    ${figures.changes?.length ? html`<${Changes} changes=${figures.changes} draft=${draft} />` : null}
    ${[["shares", "train.shares"], ["unknown", "train.unknown"]].map(([name, title]) =>
      figures[name]?.length
        ? html`<details><summary>${t(title, { count: figures[name].length })}</summary><ul>${figures[name].map((line) => html`<li>${line}</li>`)}</ul></details>`
        : null,
    )}`;
}

function Memory({ figures }) {
  const parts = Object.entries(figures.memory[figures.peak.phase] ?? {}).filter(([, size]) => size > 0);
  const most = Math.max(figures.room?.total ?? 0, figures.peak.bytes);
  const phases = Object.entries(figures.memory);
  return html`<div class="memory">
    <div class="bar" aria-hidden="true">${parts.map(
      ([name, size], index) => html`<span key=${name} class=${`part-${index % 8}`} style=${{ width: `${(100 * size) / most}%` }}></span>`,
    )}</div>
    <div class="scroll"><table>
      <caption>${t("train.memoryOf", { phase: phase(figures.peak.phase), peak: bytes(figures.peak.bytes) })}</caption>
      <tbody>${parts.map(([name, size], index) => html`<tr key=${name}><th scope="row"><span class=${`dot part-${index % 8}`}></span>${part(name)}</th>
        <td class="number">${bytes(size)}</td><td class="number">${percent(size / figures.peak.bytes)}</td></tr>`)}</tbody>
    </table></div>
    <details><summary>${t("train.byPhase")}</summary><table><tbody>${phases.map(
      ([name, inside]) => html`<tr key=${name}><th scope="row">${phase(name)}</th><td class="number">${bytes(sum(inside))}</td>
        <td><meter min="0" max=${most} value=${sum(inside)} aria-label=${phase(name)}></meter></td></tr>`,
    )}</tbody></table></details>
  </div>`;
}

function Summary({ figures }) {
  const { time = {}, data = {}, disk = {} } = figures;
  const rows = [
    ["time", time.total && `${duration(time.total)}${time.runs ? "" : ` (${t("train.factor")})`}`],
    ["steps", time.steps && t("train.stepsOf", { steps: integer(time.steps), seconds: short(time.step) })],
    ["tokens", time.tokens && (time.tokens < 1e4 ? integer(time.tokens) : count(time.tokens))],
    ["examples", data.examples && integer(data.examples)],
    ["parameters", figures.parameters && t("train.trainedOf", { trained: count(figures.trained), all: count(figures.parameters) })],
    ["disk", sum(disk) && bytes(sum(disk))],
  ].filter(([, told]) => told);
  if (!rows.length) return null;
  return html`<table><tbody>${rows.map(([name, told]) => html`<tr><th scope="row">${t(`train.${name}`)}</th><td class="number">${told}</td></tr>`)}</tbody></table>`;
}

function Changes({ changes, draft }) {
  return html`<h3>${t("train.wouldFit")}</h3><ul class="changes">${changes.map(
    (change) => html`<li key=${change.overrides.join()}>
      <${Fixes} fixes=${[change.overrides]} draft=${draft} />
      <p class="help">${bytes(change.peak)} · ${maybe(`train.cost.${change.cost}`) ?? change.cost}: ${change.costs}</p></li>`,
  )}</ul>`;
}
