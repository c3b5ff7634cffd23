// What an export would need, and what is wrong with it.
import { html } from "../../lib/html.js";
import { bytes } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { Copy } from "../../components/copy.js";

/** @param {{plan: object | null, busy: boolean, chosen: boolean}} properties what POST /api/exports/plan says */
export function Plan({ plan, busy, chosen }) {
  if (!chosen) return html`<div class="card"><h2>${t("export.needs")}</h2><p>${t("export.choose")}</p></div>`;
  return html`<div class="card" aria-live="polite" aria-busy=${busy}>
    <h2>${t("export.needs")}</h2>
    ${plan ? html`<${Told} plan=${plan} />` : html`<p>${t("page.loading")}</p>`}
  </div>`;
}

function Told({ plan }) {
  if (plan.error) return html`<pre class="bad" role="alert">${plan.error}</pre>`;
  const disk = Object.entries(plan.disk ?? {});
  const tone = plan.fits === false ? "bad" : plan.fits ? "good" : "soft";
  return html`
    <${Problems} problems=${plan.problems} />
    ${plan.conclusion ? html`<p class=${tone}>${plan.conclusion}</p>` : null}
    ${plan.peak && plan.room ? html`<${Memory} peak=${plan.peak.bytes} room=${plan.room} />` : null}
    ${disk.length ? html`<${Disk} disk=${disk} />` : null}
    ${(plan.unknown ?? []).map((text) => html`<p class="warning">${text}</p>`)}
    ${(plan.shares ?? []).map((text) => html`<p class="help">${text}</p>`)}
    <h3>${t("export.command")}</h3>
    <pre class="export-command">${plan.command}</pre>
    <${Copy} text=${plan.command} />
  `;
}

export function Problems({ problems }) {
  if (!problems.length) return html`<p class="good">${t("export.no_problems")}</p>`;
  return html`<ul class="export-problems">
    ${problems.map(
      (problem) => html`<li>
        <strong class=${problem.severity === "error" ? "bad" : "warning"}>${t(`export.${problem.severity}`)}</strong>
        ${problem.key ? html` <code>${problem.key}</code>` : null} ${problem.message}
        ${problem.advice ? html`<pre class="help">${problem.advice}</pre>` : null}
      </li>`,
    )}
  </ul>`;
}

function Memory({ peak, room }) {
  const text = t("export.memory_of", { peak: bytes(peak), room: bytes(room.total) });
  return html`<p><label>${t("export.memory")}
    <meter min="0" max=${room.total} high=${room.total * room.share} value=${peak}>${text}</meter></label>
    <span class="soft">${text}</span></p>`;
}

function Disk({ disk }) {
  const total = disk.reduce((sum, [, size]) => sum + size, 0);
  const row = ([what, size]) => html`<tr><th scope="row">${what}</th><td class="number">${bytes(size)}</td></tr>`;
  return html`<table>
    <caption>${t("export.disk")}</caption>
    <tbody>
      ${disk.map(row)}
      ${disk.length > 1 ? row([t("export.total"), total]) : null}
    </tbody>
  </table>`;
}
