// All data sets: files of the workspace and entries of the registry.
import { html, useEffect, useState } from "../../lib/html.js";
import { remove } from "../../lib/api.js";
import { bytes, integer, moment } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { Confirm } from "../../components/dialog.js";
import { attempt, tell } from "../../components/toast.js";
import { Bring } from "./bring.js";
import { EntryForm } from "./entry.js";
import { Failed, Loading, linkTo, query, useAnswer } from "./words.js";

const ROOM = 100; // rows of the table at a time
const WIDE = new Set(["kind", "modified"]); // columns that a phone has no room for

export function List() {
  const [search, setSearch] = useState("");
  const [wanted, setWanted] = useState("");
  const [shown, setShown] = useState(ROOM);
  const [open, setOpen] = useState(null); // a dialog: {kind, entry}
  const { answer, error, again } = useAnswer(`data?${query({ search: wanted, limit: shown })}`);
  useEffect(() => {
    const timer = setTimeout(() => setWanted(search), 200);
    return () => clearTimeout(timer);
  }, [search]);
  const close = () => setOpen(null);
  const done = () => (close(), again());
  return html`
    <div class="row data-tools">
      <label class="grow">${t("page.search")}
        <input type="search" value=${search} onInput=${(event) => setSearch(event.target.value)} /></label>
      <button type="button" class="main" onClick=${() => setOpen({ kind: "bring" })}>${t("data.bring.title")}</button>
      <button type="button" onClick=${() => setOpen({ kind: "entry" })}>${t("data.entry.add")}</button>
      <a href=${linkTo(":prompts")}>${t("prompts.title")}</a>
    </div>
    <${Failed} error=${error} />
    ${answer || error ? null : html`<${Loading} />`}
    ${answer ? html`<${Sets} answer=${answer} search=${wanted} onOpen=${setOpen} />` : null}
    ${answer && answer.total > answer.items.length
      ? html`<button type="button" onClick=${() => setShown(shown + 4 * ROOM)}>${t("data.list.more", answer)}</button>`
      : null}
    ${open?.kind === "bring" ? html`<${Bring} onDone=${again} onClose=${close} />` : null}
    ${open?.kind === "entry" ? html`<${EntryForm} entry=${open.entry} onDone=${done} onClose=${close} />` : null}
    ${open?.kind === "forget" ? html`<${Forget} entry=${open.entry} onDone=${done} onClose=${close} />` : null}
  `;
}

function Forget({ entry, onDone, onClose }) {
  const forget = () =>
    attempt(async () => {
      await remove(`data/entries?${query({ name: entry.name })}`);
      tell(t("data.entry.forgotten", entry));
      onDone();
    });
  return html`<${Confirm} title=${t("data.entry.forget")} text=${t("data.entry.forget_text", entry)}
    action=${t("data.entry.forget")} onYes=${forget} onClose=${onClose} />`;
}

function Sets({ answer, search, onOpen }) {
  if (!answer.items.length) return html`<p>${search ? t("data.list.none") : t("data.list.empty")}</p>`;
  const heads = ["name", "kind", "format", "rows", "size", "modified"];
  return html`<p class="soft" aria-live="polite">${t("data.list.count", { count: answer.total })}</p>
    <div class="scroll" role="region" tabindex="0" aria-label=${t("data.list.title")}><table class="sets">
      <thead><tr>${heads.map((head) => html`<th scope="col" key=${head} class=${WIDE.has(head) ? "wide-screen" : null}>
          ${t(`data.list.${head}`)}</th>`)}
        <td></td></tr></thead>
      <tbody>${answer.items.map(
        (one) => html`<${Line} key=${one.kind + one.name} one=${one} onOpen=${onOpen} />`,
      )}</tbody>
    </table></div>`;
}

function Line({ one, onOpen }) {
  const own = one.kind === "entry" && one.editable;
  return html`<tr>
    <th scope="row"><a href=${linkTo(one.name)}>${one.name}</a>
      ${one.kind === "entry" ? html`<br /><small class="soft">${one.path}</small>` : null}
      ${one.there === false ? html`<br /><small class="bad">✗ ${t("data.list.missing")}</small>` : null}</th>
    <td class="wide-screen">${t(`data.list.kinds.${one.kind}`)}</td>
    <td>${one.format ?? "–"}</td>
    <td class="number">${one.rows === null ? "–" : integer(one.rows)}</td>
    <td class="number">${bytes(one.size)}</td>
    <td class="wide-screen">${one.modified ? moment(one.modified) : "–"}</td>
    <td>${own
      ? html`<button type="button" class="small" aria-label=${t("data.entry.change_one", one)}
            onClick=${() => onOpen({ kind: "entry", entry: one })}>${t("data.entry.change")}</button>
          <button type="button" class="small" aria-label=${t("data.entry.forget_one", one)}
            onClick=${() => onOpen({ kind: "forget", entry: one })}>${t("data.entry.forget")}</button>`
      : null}</td>
  </tr>`;
}
