// What an export wrote: files, the report of what it was compared with, and what to do with it.
import { html, useEffect, useState } from "../../lib/html.js";
import { get } from "../../lib/api.js";
import { bytes, moment, number, percent } from "../../lib/format.js";
import { maybe, t } from "../../lib/i18n.js";
import { Copy } from "../../components/copy.js";

export function Result({ path }) {
  const [items, set] = useState(null);
  const [error, setError] = useState(null);
  useEffect(() => {
    get(`exports/described?${new URLSearchParams({ path })}`).then((said) => set(said.items), setError);
  }, [path]);
  return html`
    <p><a href="#export">← ${t("export.back")}</a></p>
    ${error ? html`<pre class="bad" role="alert">${error.message}</pre>` : null}
    ${items || error ? null : html`<p aria-busy="true">${t("page.loading")}</p>`}
    ${items?.map((item) => html`<${Artefact} key=${item.path} item=${item} />`)}
  `;
}

function Artefact({ item }) {
  const file = ({ name, size }) => html`<tr><th scope="row">${name}</th><td class="number">${bytes(size)}</td></tr>`;
  return html`<section class="card export-result">
    <h2>${item.path}</h2>
    <p class="row">
      ${item.format ? html`<span class="badge">${item.format}</span>` : null}
      ${item.proven
        ? html`<span class="good">${t("export.proven", item)}</span>`
        : html`<span class="warning">${t("export.not_proven")}</span>`}
      <span class="soft">${bytes(item.size)} · ${moment(item.made)}</span>
    </p>
    ${item.proven ? html`<${Report} item=${item} />` : null}
    <h3>${t("export.next")}</h3>
    ${item.next.map((step) => html`<${Step} key=${step.what} step=${step} path=${item.path} />`)}
    <details>
      <summary>${t("export.files", { count: item.files.length, size: bytes(item.size) })}</summary>
      <table><tbody>${item.files.map(file)}</tbody></table>
    </details>
  </section>`;
}

function Step({ step, path }) {
  const chat = html`<a href=${`#chat/${encodeURIComponent(path)}`}>${t("export.chat_here")}</a>`;
  return html`<div class="export-step">
    <div class="row">
      <span class="grow">${t(`export.steps.${step.what}`)}</span>
      ${step.what === "chat" ? chat : null}
      <${Copy} text=${step.command} />
    </div>
    <pre class="export-command">${step.command}</pre>
  </div>`;
}

function Report({ item }) {
  const on = item.compared_on;
  const own = item.figures.filter(({ step }) => !step);
  const steps = item.figures.filter(({ step }) => step);
  return html`
    <h3>${t("export.report")}</h3>
    ${on ? html`<p class="help">${t("export.compared_on", on)}</p>` : null}
    ${own.length ? html`<${Figures} rows=${own} label=${`${t("export.report")}: ${item.path}`} />` : null}
    <${Checks} checks=${item.checks} label=${`${t("export.compared")}: ${item.path}`} />
    ${steps.length
      ? html`<details>
          <summary>${t("export.on_the_way")}</summary>
          <${Figures} rows=${steps} label=${`${t("export.on_the_way")}: ${item.path}`} />
        </details>`
      : null}
    ${item.answer ? html`<${Answer} answer=${item.answer} />` : null}
  `;
}

const shown = (figure, value) => (figure === "same_choice" ? percent(value) : number(value, 3));

function limitOf({ figure, limit }) {
  if (limit === undefined) return "–";
  if (figure === "perplexity_after") return `× ${number(limit, 3)}`;
  return `${figure === "same_choice" ? "≥" : "≤"} ${shown(figure, limit)}`;
}

function Figures({ rows, label }) {
  const head = (name) => html`<th scope="col" class="number">${t(`export.${name}`)}</th>`;
  const where = ({ file, step }) => [file, stepOf(step)].filter(Boolean).join(", ");
  const before = (each) => (each.before === undefined ? "" : `${number(each.before)} → `);
  const [judged, based] = ["limit", "base"].map((name) => rows.some((each) => each[name] !== undefined));
  const heads = ["value", ...(judged ? ["limit"] : []), ...(based ? ["of_base"] : [])];
  const row = (each) => html`<tr>
    <th scope="row">${t(`export.figures.${each.figure}`)}
      ${where(each) ? html` <span class="soft">(${where(each)})</span>` : null}</th>
    <td class="number">${before(each)}${shown(each.figure, each.value)}</td>
    ${judged ? html`<td class="number">${limitOf(each)}</td>` : null}
    ${based ? html`<td class="number">${each.base === undefined ? "–" : shown(each.figure, each.base)}</td>` : null}
  </tr>`;
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${label}>
    <table>
      <thead><tr><th scope="col">${t("export.figure")}</th>${heads.map(head)}</tr></thead>
      <tbody>${rows.map(row)}</tbody>
    </table>
  </div>`;
}

const stepOf = (step) => step && (maybe(`export.stages.${step}`) ?? step);

function Checks({ checks, label }) {
  const fact = ([name, value]) => `${maybe(`export.facts.${name}`) ?? name} ${value}`;
  const row = (check) => html`<tr>
    <th scope="row">${maybe(`export.checks.${check.check}`) ?? check.check}</th>
    <td class=${check.equal ? "good" : "bad"}>${check.equal ? t("export.equal") : t("export.differs")}</td>
    <td>${Object.entries(check.facts).map(fact).join(" · ")}
      ${check.problems.map((text) => html`<p class="bad">${text}</p>`)}</td>
  </tr>`;
  const heads = ["compared", "outcome", "found"].map((name) => html`<th scope="col">${t(`export.${name}`)}</th>`);
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${label}>
    <table><thead><tr>${heads}</tr></thead><tbody>${checks.map(row)}</tbody></table></div>`;
}

function Answer({ answer }) {
  return html`<details>
    <summary>${t("export.answer")}</summary>
    <dl class="export-answer">
      <dt>${t("export.prompt")}</dt><dd><pre>${answer.prompt}</pre></dd>
      <dt>${t("export.trained_answer")}</dt><dd><pre>${answer.trained}</pre></dd>
      <dt>${t("export.written_answer")}</dt><dd><pre>${answer.written}</pre></dd>
    </dl>
  </details>`;
}
