// Which run is watched; those that go on come first.
import { html } from "../../lib/html.js";
import { t } from "../../lib/i18n.js";

export function Chooser({ run, runs, onChange }) {
  const known = runs.some(({ name }) => name === run) ? runs : [{ name: run, state: "" }, ...runs];
  const goesOn = ({ state }) => state === "running" || state === "stopping";
  const option = ({ name }) => html`<option key=${name} value=${name}>${name}</option>`;
  const group = (label, rows) => (rows.length ? html`<optgroup label=${label}>${rows.map(option)}</optgroup>` : null);
  return html`<p class="row">
    <label for="watched">${t("watch.run")}</label>
    <select id="watched" value=${run} onChange=${(event) => onChange(event.target.value)}>
      ${group(t("watch.going_on"), known.filter(goesOn))}
      ${group(t("watch.others"), known.filter((row) => !goesOn(row)))}
    </select>
  </p>`;
}
