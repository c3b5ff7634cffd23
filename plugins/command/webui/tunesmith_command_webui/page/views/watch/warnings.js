// What the guard found wrong, with what to try.
import { html } from "../../lib/html.js";
import { integer } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";

const SHOWN = 3; // the newest; the others are folded

export function Warnings({ found }) {
  const newest = [...found].reverse();
  const one = ({ step, name, message, advice }) => html`<li key=${`${step} ${name}`}>
    <strong>${name}</strong> ${t("watch.at_step", { step: integer(step) })}: ${message}
    <div class="help">${t("watch.try")}: ${advice}</div>
  </li>`;
  return html`<div aria-live="polite">
    ${found.length
      ? html`<section class="card warned" aria-label=${t("watch.warnings")}>
          <h3 class="warning">⚠ ${t("watch.warnings")} (${integer(found.length)})</h3>
          <ul>${newest.slice(0, SHOWN).map(one)}</ul>
          ${newest.length > SHOWN
            ? html`<details><summary>${t("watch.earlier_warnings", { count: newest.length - SHOWN })}</summary>
                <ul>${newest.slice(SHOWN).map(one)}</ul></details>`
            : null}
        </section>`
      : null}
  </div>`;
}
