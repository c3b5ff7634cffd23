// The runs of a sweep: what each needs, which are left out, and their start.
import { html, useState } from "../../lib/html.js";
import { post } from "../../lib/api.js";
import { bytes, duration } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { attempt, tell } from "../../components/toast.js";
import { faultOf } from "./names.js";

const IMPOSSIBLE = ["wrong", "large"];

export function Rows({ rows, draft, name: first, devices, onClose, onRow }) {
  const [busy, setBusy] = useState(false);
  const [name, setName] = useState(first);
  const possible = rows.filter(({ state }) => !IMPOSSIBLE.includes(state));
  const wanted = possible.filter(({ chosen }) => chosen);
  const planned = rows.filter(({ state }) => state !== "waiting").length;
  const isPlanning = planned < rows.length;
  const start = () =>
    attempt(async () => {
      setBusy(true);
      try {
        const tag = await startAll(wanted, { values: draft.values, devices }, name.trim() || "sweep");
        onClose();
        location.hash = "#jobs";
        tell(t("train.sweepStarted", { count: wanted.length, tag }));
      } finally {
        setBusy(false);
      }
    });
  const fault = faultOf(name);
  const waits = busy || isPlanning || !wanted.length || Boolean(fault);
  return html`
    <div class="scroll"><table><thead><tr><th scope="col">#</th><th scope="col">${t("train.values")}</th>
      <th scope="col">${t("train.verdict")}</th><th scope="col">${t("train.memory")}</th>
      <th scope="col">${t("train.time")}</th></tr></thead>
      <tbody>${rows.map(
        (row, at) => html`<${Row} key=${at} row=${row} number=${at + 1}
          onChoose=${(chosen) => onRow(at, { chosen })} />`,
      )}</tbody></table></div>
    <p role="status">${isPlanning
      ? t("train.sweepPlanning", { count: planned, of: rows.length })
      : t("train.sweepTotal", { count: possible.length, of: rows.length })}${isPlanning ? "" : timeOf(wanted)}</p>
    <div class="row">
      <label>${t("train.sweepName")} <input value=${name} placeholder="sweep" aria-invalid=${Boolean(fault)}
        onInput=${({ target }) => setName(target.value)} /></label>
      <button type="button" class="main" disabled=${waits} onClick=${start}>
        ${t("train.startAll", { count: wanted.length })}</button>
      ${fault ? html`<p class="bad help">${t(fault)}</p>` : null}
    </div>`;
}

function Row({ row: { overrides, state, why, peak, seconds, chosen }, number, onChoose }) {
  const out = IMPOSSIBLE.includes(state);
  const text = overrides.join(" ");
  return html`<tr class=${out ? "struck" : null}>
    <td><label><input type="checkbox" disabled=${out} checked=${chosen && !out}
      onChange=${({ target }) => onChoose(target.checked)} />${" "}
      ${number}<span class="unseen">: ${text}</span></label></td>
    <td>${out ? html`<s>${text}</s>` : text}</td>
    <td>${t(`train.row.${state}`)}${why ? `: ${why}` : ""}</td>
    <td class="number">${peak ? bytes(peak) : "–"}</td>
    <td class="number">${seconds ? duration(seconds) : "–"}</td></tr>`;
}

/** The time of all runs together, where it is known of each. */
function timeOf(rows) {
  const isKnown = rows.length && rows.every(({ seconds }) => seconds);
  return isKnown ? ` · ${duration(rows.reduce((all, { seconds }) => all + seconds, 0))}` : "";
}

/** Queue the runs under a tag that no other sweep has; the tag. */
async function startAll(rows, draft, name) {
  const tag = `${name}-${new Date().toISOString().slice(0, 16).replace(/[-:]/g, "")}`;
  for (const { overrides } of rows) {
    await post("train", { ...draft, overrides, name: `${tag}/${labelOf(overrides)}`, tags: [tag] });
  }
  return tag;
}

/** What a run differs in, as its name: learning_rate-1e-4-rank-8. */
const labelOf = (overrides) =>
  overrides.map((word) => word.replace(/^[^=]*\.(?=[^=]*=)/, "").replace("=", "-").replace(/[^\w.-]+/g, "-")).join("-");
