// The versions of a set: where each comes from, what differs, and a former one as the newest again.
import { html, useState } from "../../lib/html.js";
import { post } from "../../lib/api.js";
import { integer, moment } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { attempt, tell } from "../../components/toast.js";
import { Failed, linkTo, Loading, query, useAnswer } from "./words.js";

export function Versions({ about, author, onChanged }) {
  const [pair, setPair] = useState(null);
  const folder = about.path.includes("/") ? about.path.replace(/[^/]*$/, "") : "";
  const restore = (version) =>
    attempt(async () => {
      const note = t("data.versions.restored_note", version);
      const made = await post("data/versions", { data: folder + version.file, author, what: "restored", note });
      tell(t("data.save.done", { path: made.path, rows: integer(made.rows) }));
      onChanged();
    });
  if (about.versions.length < 2) return html`<p>${t("data.versions.none")}</p>`;
  const heads = ["number", "file", "parent", "author", "time", "what", "rows", "changes", "note"];
  return html`<div class="scroll" role="region" tabindex="0" aria-label=${t("data.tabs.versions")}><table>
      <thead><tr>${heads.map((head) => html`<th scope="col" key=${head}>${t(`data.versions.${head}`)}</th>`)}
        <td></td></tr></thead>
      <tbody>${about.versions.map((one) => html`<${Version} key=${one.number} ...${{ one, folder, author }}
        onCompare=${() => setPair({ before: folder + one.parent, after: folder + one.file })}
        onRestore=${() => restore(one)} />`)}</tbody>
    </table></div>
    ${author ? null : html`<p class="help">${t("data.who")}</p>`}
    ${pair ? html`<${Differences} key=${pair.after} ...${pair} />` : null}`;
}

function Version({ one, folder, author, onCompare, onRestore }) {
  const changes = Object.entries(one.changes);
  return html`<tr>
    <th scope="row">${one.number}</th>
    <td>${one.there
      ? html`<a href=${linkTo(folder + one.file)}>${one.file}</a>`
      : html`${one.file} <span class="bad">✗</span>`}</td>
    <td>${one.parent ?? "–"}</td><td>${one.author || "–"}</td><td>${one.time ? moment(one.time) : "–"}</td>
    <td>${t(`data.save.kinds.${one.what}`)}</td>
    <td class="number">${one.rows === null ? "–" : integer(one.rows)}</td>
    <td>${changes.map(
      ([name, count]) => html`<div key=${name}>${t(`data.versions.counts.${name}`, { count })}</div>`,
    )}</td>
    <td>${one.note}</td>
    <td>${one.parent && one.there
        ? html`<button type="button" class="small" aria-label=${t("data.versions.compare_one", one)}
            onClick=${onCompare}>${t("data.versions.compare")}</button>`
        : null}
      ${one.there
        ? html`<button type="button" class="small" disabled=${!author}
            aria-label=${t("data.versions.restore_one", one)}
            onClick=${onRestore}>${t("data.versions.restore")}</button>`
        : null}</td>
  </tr>`;
}

function Differences({ before, after }) {
  const { answer, error } = useAnswer(`data/differences?${query({ before, after })}`);
  if (error) return html`<${Failed} error=${error} />`;
  if (!answer) return html`<${Loading} />`;
  const { counts, same } = answer;
  return html`<h3>${before} → ${after}</h3>
    <p>${t("data.versions.told", { ...counts, same: integer(same) })}</p>
    ${answer.changed.map((one) => html`<${Pair} key=${one.after.row} ...${one} />`)}
    ${answer.removed.map((one) => html`<${Pair} key=${`-${one.row}`} before=${one} />`)}
    ${answer.added.map((one) => html`<${Pair} key=${`+${one.row}`} after=${one} />`)}`;
}

const textOf = (one) => (one.record ? JSON.stringify(one.record, null, 1) : one.text);

function Pair({ before, after }) {
  const side = (one, sign, name) => html`<section>${one
    ? html`<h4 class=${name}>${sign} ${t("data.browse.number", one)}</h4><pre>${textOf(one)}</pre>`
    : null}</section>`;
  return html`<div class="sides card">${side(before, "−", "bad")}${side(after, "+", "good")}</div>`;
}
