// What the model answered at each evaluation, side by side over the steps.
import { html, useEffect, useState } from "../../lib/html.js";
import { get } from "../../lib/api.js";
import { integer, number } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { attempt } from "../../components/toast.js";
import { differences } from "./differences.js";

const PAGE = 5;

/** @param {{name: string, evaluators: {name: string, steps: number[], records: boolean}[]}} properties */
export function Samples({ name, evaluators }) {
  const having = evaluators.filter(({ records }) => records);
  const [own, set] = useState({ evaluator: "", offset: 0, marks: true });
  const evaluator = having.find((each) => each.name === own.evaluator) ?? having[0];
  const [told, setTold] = useState(null);
  const newest = evaluator?.steps.at(-1);
  useEffect(() => {
    if (!evaluator) return;
    const asked = new URLSearchParams({ run: name, evaluator: evaluator.name, offset: own.offset, limit: PAGE });
    attempt(async () => setTold(await get(`watch/samples?${asked}`)));
  }, [name, evaluator?.name, own.offset, newest]);
  if (!evaluator) {
    const repeated = `#train/run:${encodeURIComponent(name)}`;
    return html`<p>${t("watch.no_samples")} <a href=${repeated}>${t("runs.repeat")}</a></p>`;
  }
  const go = (by) => set({ ...own, offset: Math.max(0, own.offset + by) });
  return html`
    <div class="row controls">
      <label class="row">${t("watch.evaluator")}
        <select value=${evaluator.name}
          onChange=${(event) => set({ ...own, evaluator: event.target.value, offset: 0 })}>
          ${having.map((each) => html`<option value=${each.name}>${each.name}</option>`)}
        </select>
      </label>
      <label class="row"><input type="checkbox" checked=${own.marks}
        onChange=${(event) => set({ ...own, marks: event.target.checked })} />${t("watch.marks")}</label>
      <button type="button" disabled=${own.offset === 0} onClick=${() => go(-PAGE)}>${t("watch.before")}</button>
      <button type="button" disabled=${!told || own.offset + PAGE >= told.total} onClick=${() => go(PAGE)}>
        ${t("watch.next")}</button>
      ${told ? html`<span>${t("watch.of", bounds(own.offset, told))}</span>` : null}
    </div>
    ${told?.items.map(
      (item) => html`<${Item} key=${`${item.dataset} ${item.index}`}
        item=${item} steps=${told.steps} marks=${own.marks} />`,
    )}
  `;
}

/** Which examples are on the page, of how many. */
function bounds(offset, { items, total }) {
  return { from: integer(offset + 1), to: integer(offset + items.length), total: integer(total) };
}

function Item({ item, steps, marks }) {
  const shown = steps.map((step, at) => [step, item.by_step[step], at ? item.by_step[steps[at - 1]] : null]);
  return html`<article class="card sample">
    <h3>${item.dataset ?? ""} ${item.index === null ? "" : integer(item.index + 1)}</h3>
    <div class="asked">${messages(item.prompt)}</div>
    ${item.answer ? html`<p><strong>${t("watch.expected")}</strong></p><pre>${textOf(item.answer)}</pre>` : null}
    <div class="steps scroll" tabindex="0" role="region" aria-label=${t("watch.over_steps")}>
      ${shown.map(([step, record, before]) => html`<div key=${step} class="step">
        <p><strong>${t("watch.step", { step: integer(step) })}</strong>${" "}
          <span class="help">${numbersOf(record)}</span></p>
        ${record
          ? html`<pre>${marks && before ? marked(said(before), said(record)) : said(record)}</pre>`
          : html`<p class="soft">${t("watch.not_there")}</p>`}
      </div>`)}
    </div>
  </article>`;
}

const said = (record) => textOf(record.prediction ?? record.answer ?? record.thought ?? record);

function textOf(value) {
  return typeof value === "string" ? value : JSON.stringify(value, null, 1);
}

function messages(prompt) {
  const list = Array.isArray(prompt) ? prompt : [{ role: "", content: prompt }];
  return list.map(
    ({ role, content }, at) => html`<div key=${at}>
      <strong>${role}</strong> <span class="said">${textOf(content ?? "")}</span></div>`,
  );
}

/** The numbers of a record in one line. */
function numbersOf(record) {
  const found = Object.entries(record ?? {}).filter(([, value]) => typeof value === "number" && value !== 0);
  return found.slice(0, 6).map(([name, value]) => `${name} ${number(value, 3)}`).join(" · ");
}

const TAGS = { same: "span", gone: "del", new: "ins" };

function marked(before, after) {
  return differences(before, after).map(({ kind, text }, at) => html`<${TAGS[kind]} key=${at}>${text}</${TAGS[kind]}>`);
}
