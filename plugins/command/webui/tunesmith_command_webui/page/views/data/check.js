// What is wrong with a set, by check; the rows of each; a version without them; what of evaluation sets is in it.
import { html, useState } from "../../lib/html.js";
import { post } from "../../lib/api.js";
import { integer, percent } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { DataPicker } from "../../components/data_picker.js";
import { Findings } from "../../components/preview.js";
import { tell } from "../../components/toast.js";
import { Failed } from "./words.js";

/** The number of a finding's row: of JSON Lines its line. */
const rowOf = ({ row, place, file }) => (/\.(jsonl|ndjson)$/.test(file) ? Number(place.match(/\d+/)?.[0] ?? row) : row);

export function Check({ data, about, author, onShow, onChanged }) {
  const [heldOut, setHeldOut] = useState([]);
  const [tokenizer, setTokenizer] = useState("");
  const [most, setMost] = useState("");
  const [busy, setBusy] = useState("");
  const [state, setState] = useState({});
  const doing = (name, what) => async () => {
    setBusy(name);
    setState((before) => ({ ...before, error: null }));
    try {
      const made = await what();
      setState((before) => ({ ...before, ...made }));
    } catch (error) {
      setState((before) => ({ ...before, error: error.message }));
    }
    setBusy("");
  };
  const asked = { data: [data], held_out: heldOut };
  const check = doing("check", async () => ({
    found: await post("data/check", { ...asked, tokenizer: tokenizer || null, max_length: Number(most) || null }),
  }));
  const overlap = doing("overlap", async () => ({ overlap: await post("data/contamination", asked) }));
  const save = (what) =>
    doing(what, async () => {
      const made = await post("data/versions", { data, author, what });
      tell(t("data.save.done", { path: made.path, rows: integer(made.rows) }));
      onChanged();
      return {};
    });
  const open = ({ check: name, severity }) => {
    const same = (one) => one.check === name && one.severity === severity && one.row !== null;
    const rows = state.found.findings.filter(same);
    onShow(t("data.check.rows_of", { name }), [...new Set(rows.map(rowOf))]);
  };
  const action = (name, act, disabled = false) => html`
    <button type="button" disabled=${Boolean(busy) || disabled} onClick=${act}>
      ${busy === name ? `${t(`data.check.${name}`)} …` : t(`data.check.${name}`)}</button>`;
  return html`
    <div class="tiles">
      <${DataPicker} label=${t("data.check.held_out")} value=${heldOut} onChange=${setHeldOut}
        help=${t("data.check.held_out_help")} />
      <div><label>${t("data.check.tokenizer")} <input value=${tokenizer}
          onChange=${(event) => setTokenizer(event.target.value.trim())} /></label>
        <label>${t("data.check.longest")} <input class="short" type="number" min="1" value=${most}
          onChange=${(event) => setMost(event.target.value)} /></label></div>
    </div>
    <div class="row" aria-live="polite">
      ${action("check", check)}
      ${action("overlap", overlap, !heldOut.length)}
      ${action("fixed", save("fixed"), !author || !about.saveable)}
      ${action("deduplicated", save("deduplicated"), !author || !about.saveable)}
    </div>
    <p class="help">${t("data.check.help")}</p>
    <${Failed} error=${state.error} />
    ${state.found
      ? html`<${Lengths} sets=${state.found.sets} /><${Findings} found=${state.found} onOpen=${open} />`
      : null}
    ${state.overlap ? html`<${Overlap} found=${state.overlap} />` : null}
  `;
}

function Lengths({ sets }) {
  const told = (name, rows, { unit, p50, max }) => t("data.check.lengths", {
    name,
    rows: integer(rows),
    unit: t(`data.check.units.${unit}`),
    p50: integer(p50 ?? 0),
    max: integer(max ?? 0),
  });
  return Object.entries(sets).map(([name, { rows, lengths, languages }]) => html`<p key=${name}>
    ${told(name, rows, lengths)}
    ${" "}${Object.entries(languages).map(([language, count]) => `${language} ${integer(count)}`).join(", ")}</p>`);
}

function Overlap({ found }) {
  const heads = ["set", "examples", "touched", "over", "mean"];
  return html`<div class="scroll" role="region" tabindex="0" aria-label=${t("data.check.overlap")}><table>
    <caption>${t("data.check.overlap")}</caption>
    <thead><tr>${heads.map(
      (name) => html`<th scope="col" key=${name}>${t(`data.check.columns.${name}`)}</th>`,
    )}</tr></thead>
    <tbody>${Object.entries(found.sets).map(([name, one]) => html`<tr key=${name}><th scope="row">${name}</th>
      <td class="number">${integer(one.examples)}</td><td class="number">${integer(one.with_a_run)}</td>
      <td class=${`number ${one.over_threshold ? "bad" : ""}`}>${integer(one.over_threshold)}</td>
      <td class="number">${percent(one.mean_share)}</td></tr>`)}</tbody>
  </table></div>`;
}
