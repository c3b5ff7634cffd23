// Conversations that the server keeps: searched, opened, written to files, read from them, deleted.
import { html, useEffect, useRef, useState } from "../../lib/html.js";
import { get, post, remove, request } from "../../lib/api.js";
import { moment } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { Confirm, Dialog } from "../../components/dialog.js";
import { attempt, complain } from "../../components/toast.js";

const PAGE = 30;

/**
 * @param {{now: string | null, onOpen: (conversation: object) => void, onDeleted: (id: string) => void,
 *          onClose: () => void}} properties
 */
export function Saved({ now, onOpen, onDeleted, onClose }) {
  const [search, setSearch] = useState("");
  const [limit, setLimit] = useState(PAGE);
  const [found, set] = useState(null);
  const [doomed, doom] = useState(null);
  const [again, setAgain] = useState(0);
  useEffect(() => {
    const asked = new AbortController();
    const failed = (error) => error.name === "AbortError" || complain(error);
    get(`chats/conversations?${new URLSearchParams({ search, limit })}`, asked.signal).then(set, failed);
    return () => asked.abort();
  }, [search, limit, again]);
  const open = (id) => attempt(async () => onOpen(await get(`chats/conversations/${id}`)));
  const deleted = () => attempt(async () => {
    await remove(`chats/conversations/${doomed.id}`);
    onDeleted(doomed.id);
    doom(null);
    setAgain(again + 1);
  });
  const row = (item) => html`<tr key=${item.id}>
    <th scope="row">
      <button type="button" class="plain pick" aria-current=${item.id === now ? "true" : null}
        onClick=${() => open(item.id)}>${item.title || "–"}</button>
      <span class="help">${item.model}</span>
    </th>
    <td>${moment(item.changed)}</td>
    <td class="kept-acts">
      <button type="button" onClick=${() => download(item, "json")}>JSON</button>
      <button type="button" onClick=${() => download(item, "md")}>Markdown</button>
      <button type="button" onClick=${() => doom(item)}>${t("chat.delete")}</button>
    </td>
  </tr>`;
  return html`<${Dialog} title=${t("chat.conversations")} wide onClose=${onClose}>
    <div class="row">
      <input type="search" class="grow" aria-label=${t("page.search")} placeholder=${t("page.search")}
        value=${search} onInput=${(event) => setSearch(event.target.value)} />
      <${Import} onOpen=${onOpen} />
    </div>
    <div class="scroll"><table class="kept">
      <thead><tr>
        <th scope="col">${t("chat.title")}</th>
        <th scope="col">${t("chat.changed")}</th>
        <th scope="col">${t("chat.acts")}</th>
      </tr></thead>
      <tbody>${(found?.items ?? []).map(row)}</tbody>
    </table></div>
    ${found?.total === 0 ? html`<p class="help">${t("chat.none_kept")}</p>` : null}
    ${found && found.total > found.items.length
      ? html`<button type="button" onClick=${() => setLimit(limit + PAGE)}>${t("chat.more")}</button>`
      : null}
    ${doomed
      ? html`<${Confirm} title=${t("chat.delete")} text=${t("chat.delete_text", { title: doomed.title })}
          action=${t("chat.delete")} onYes=${deleted} onClose=${() => doom(null)} />`
      : null}
  </${Dialog}>`;
}

const download = ({ id, title }, kind) => attempt(async () => {
  const response = await request("GET", `chats/conversations/${id}${kind === "md" ? "/markdown" : ""}`);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = `${title.replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 60) || id}.${kind}`;
  link.click();
  URL.revokeObjectURL(link.href);
});

function Import({ onOpen }) {
  const picker = useRef();
  const read = (event) => {
    const [file] = event.target.files;
    event.target.value = "";
    return attempt(async () => {
      const given = JSON.parse(await file.text());
      const { id } = await post("chats/conversations", { ...given, id: null, revision: null });
      onOpen(await get(`chats/conversations/${id}`));
    });
  };
  return html`<input ref=${picker} type="file" hidden accept=".json" aria-label=${t("chat.import")} onChange=${read} />
    <button type="button" onClick=${() => picker.current.click()}>${t("chat.import")}</button>`;
}
