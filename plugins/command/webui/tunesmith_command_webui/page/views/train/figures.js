// The figures of the plan: memory by part and phase, time, tokens, disk, and changes that make it fit.
import { html } from "../../lib/html.js";
import { bytes, duration, integer, number, percent } from "../../lib/format.js";
import { maybe, t } from "../../lib/i18n.js";
import { count } from "../../components/model_picker.js";
import { Fixes } from "./plan.js";

/** The words for a part of memory, such as optimizer states; those of the server where the page has none. */
const part = (name) => maybe(`train.part.${name.replaceAll(" ", "_")}`) ?? name;
const phase = (name) => maybe(`train.phase.${name}`) ?? name;
const short = (seconds) => (seconds < 10 ? `${number(seconds, 2)} s` : duration(seconds));
const many = (value) => (value < 1e4 ? integer(value) : count(value));
const sum = (parts) => Object.values(parts).reduce((all, size) => all + size, 0);

export function Figures({ draft, plan }) {
  const { figures, looking } = plan;
  const notices = draft.answer?.notices ?? [];
  if (!figures && !notices.length) return null;
  const title = t("train.notices", { count: notices.length });
  return html`<section class="card figures" aria-label=${t("train.figures")} aria-busy=${draft.busy || plan.busy}>
    ${figures ? html`<${Told} figures=${figures} draft=${draft} looking=${looking} />` : null}
    ${notices.length ? html`<${Lines} title=${title} lines=${notices} />` : null}
  </section>`;
}

function Told({ figures, draft, looking }) {
  const lists = [["shares", "train.shares"], ["unknown", "train.unknown"]].filter(([name]) => figures[name]?.length);
  return html`<div class="told">
    ${looking ? html`<p class="soft" role="status">${t("train.looking")}</p>` : null}
    ${figures.changes?.length ? html`<${Changes} changes=${figures.changes} draft=${draft} />` : null}
    ${figures.peak?.bytes ? html`<${Memory} figures=${figures} />` : null}
    <${Summary} figures=${figures} />
    ${lists.map(
      ([name, title]) => html`<${Lines} title=${t(title, { count: figures[name].length })} lines=${figures[name]} />`,
    )}
  </div>`;
}

const Lines = ({ title, lines }) => html`<details><summary>${title}</summary>
  <ul>${lines.map((line) => html`<li><pre>${line}</pre></li>`)}</ul></details>`;

function Memory({ figures }) {
  const parts = Object.entries(figures.memory[figures.peak.phase] ?? {}).filter(([, size]) => size > 0);
  const most = Math.max(figures.room?.total ?? 0, figures.peak.bytes);
  const width = (size) => ({ width: `${(100 * size) / most}%` });
  const title = { phase: phase(figures.peak.phase), peak: bytes(figures.peak.bytes) };
  return html`<div class="memory">
    <div class="bar" aria-hidden="true">${parts.map(
      ([name, size], at) => html`<span key=${name} class=${`part-${at % 8}`} style=${width(size)}></span>`,
    )}</div>
    <div class="scroll"><table>
      <caption>${t("train.memoryOf", title)}</caption>
      <tbody>${parts.map(
        ([name, size], at) => html`<tr key=${name}>
          <th scope="row"><span class=${`dot part-${at % 8}`}></span>${part(name)}</th>
          <td class="number">${bytes(size)}</td><td class="number">${percent(size / figures.peak.bytes)}</td></tr>`,
      )}</tbody>
    </table></div>
    <details><summary>${t("train.byPhase")}</summary><${Phases} memory=${figures.memory} most=${most} /></details>
  </div>`;
}

function Phases({ memory, most }) {
  return html`<table><tbody>${Object.entries(memory).map(
    ([name, parts]) => html`<tr key=${name}>
      <th scope="row">${phase(name)}</th><td class="number">${bytes(sum(parts))}</td>
      <td><meter min="0" max=${most} value=${sum(parts)} aria-label=${phase(name)}></meter></td></tr>`,
  )}</tbody></table>`;
}

function Summary({ figures }) {
  const { time = {}, data = {}, disk = {}, parameters, trained } = figures;
  const rows = [
    ["time", time.total && `${duration(time.total)}${time.runs ? "" : ` (${t("train.factor")})`}`],
    ["steps", time.steps && t("train.stepsOf", { steps: integer(time.steps), seconds: short(time.step) })],
    ["tokens", time.tokens && `${many(time.tokens)}${guessed(data) ? ` (${t("train.guessed")})` : ""}`],
    ["examples", data.examples && integer(data.examples)],
    ["parameters", parameters && t("train.trainedOf", { trained: many(trained), all: many(parameters) })],
    ["disk", sum(disk) && bytes(sum(disk))],
  ].filter(([, told]) => told);
  if (!rows.length) return null;
  const row = ([name, told]) =>
    html`<tr><th scope="row">${t(`train.${name}`)}</th><td class="number">${told}</td></tr>`;
  return html`<table><tbody>${rows.map(row)}</tbody></table>`;
}

/** Whether nothing encoded these data yet, so that their texts alone tell how long they are. */
const guessed = (data) => Boolean(data.source?.startsWith("guessed"));

function Changes({ changes, draft }) {
  const cost = (name) => maybe(`train.cost.${name}`) ?? name;
  return html`<h3>${t("train.wouldFit")}</h3><ul class="changes">${changes.map(
    (change) => html`<li key=${change.overrides.join()}>
      <${Fixes} fixes=${[change.overrides]} draft=${draft} />
      <p class="help">${bytes(change.peak)} · ${cost(change.cost)}: ${change.costs}</p></li>`,
  )}</ul>`;
}
