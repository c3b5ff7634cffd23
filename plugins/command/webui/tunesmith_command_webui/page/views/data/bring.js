// Data from elsewhere: a file of this computer in pieces, pasted text, a hub.
import { html, useState } from "../../lib/html.js";
import { get, post, request } from "../../lib/api.js";
import { integer } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { Dialog } from "../../components/dialog.js";
import { Tabs } from "../../components/tabs.js";
import { Failed, linkTo } from "./words.js";

const KINDS = ".json,.jsonl,.ndjson,.csv,.tsv,.txt,.parquet,.arrow,.gz,.bz2,.xz,.zst";
const PIECE = 4 << 20; // bytes
const TRIES = 5;

export function Bring({ onDone, onClose }) {
  const [tab, setTab] = useState("file");
  const [made, setMade] = useState(null);
  const done = (found) => (setMade(found), onDone());
  const tabs = Object.entries({ file: UploadFile, paste: PasteText, hub: FromHub }).map(([name, part]) => ({
    id: name,
    label: t(`data.bring.${name}`),
    content: () => html`<${part} onDone=${done} />`,
  }));
  return html`<${Dialog} title=${t("data.bring.title")} onClose=${onClose}>
    <${Tabs} label=${t("data.bring.title")} tabs=${tabs} now=${tab}
      onChange=${(name) => (setTab(name), setMade(null))} />
    ${made ? html`<p role="status" class="good">✓ <a href=${linkTo(made.path)}>${made.path}</a>
      ${made.format ?? ""} ${t("data.rows", { count: made.rows, rows: integer(made.rows) })}</p>` : null}
  </${Dialog}>`;
}

/** Send a file piece by piece; a piece that got lost is sent again from where the server is. */
async function send(file, tell) {
  const { id, piece } = await post("data/uploads", { name: file.name, size: file.size });
  let offset = 0;
  for (let tries = 0; offset < file.size; ) {
    try {
      const part = file.slice(offset, offset + Math.min(piece, PIECE));
      offset = (await (await request("PUT", `data/uploads/${id}?offset=${offset}`, part)).json()).offset;
      tries = 0;
    } catch (error) {
      if (++tries > TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, 500 * tries));
      offset = (await get(`data/uploads/${id}`)).offset;
    }
    tell(offset / file.size);
  }
  return post(`data/uploads/${id}/finish`);
}

function UploadFile({ onDone }) {
  const [file, setFile] = useState(null);
  const [share, setShare] = useState(null);
  const [error, setError] = useState(null);
  const begin = async () => {
    setError(null);
    setShare(0);
    await send(file, setShare).then(onDone, (failed) => setError(failed.message));
    setShare(null);
  };
  return html`<label>${t("data.bring.choose")} <input type="file" accept=${KINDS}
      onChange=${(event) => setFile(event.target.files[0] ?? null)} /></label>
    <p class="help">${t("data.bring.kinds")}</p>
    ${share === null ? null : html`<progress max="1" value=${share} aria-label=${t("data.bring.progress")}></progress>`}
    <${Failed} error=${error} />
    <p><button type="button" class="main" disabled=${!file || share !== null} onClick=${begin}>
      ${t("data.bring.upload")}</button></p>`;
}

function PasteText({ onDone }) {
  const [name, setName] = useState("pasted.jsonl");
  const [text, setText] = useState("");
  const [error, setError] = useState(null);
  const keep = async (event) => {
    event.preventDefault();
    setError(null);
    await post("data/paste", { name, text }).then(onDone, (failed) => setError(failed.message));
  };
  return html`<form onSubmit=${keep}>
    <label>${t("data.bring.name")} <input value=${name} onInput=${(event) => setName(event.target.value)} /></label>
    <label>${t("data.bring.text")} <textarea class="code wide" rows="10" value=${text}
      onInput=${(event) => setText(event.target.value)}></textarea></label>
    <${Failed} error=${error} />
    <p><button class="main" disabled=${!text.trim()}>${t("data.bring.keep")}</button></p>
  </form>`;
}

function FromHub({ onDone }) {
  const [address, setAddress] = useState("");
  const [most, setMost] = useState(1000);
  const [state, setState] = useState({});
  const fetched = async (event) => {
    event.preventDefault();
    setState({ busy: true });
    const out = `data/${address.split("/").at(-1)}.jsonl`;
    const asked = { how: "fetch", data: [address], out, count: Number(most) };
    await post("data/make", asked).then(onDone, (error) => setState({ error: error.message }));
    setState((before) => ({ ...before, busy: false }));
  };
  return html`<form onSubmit=${fetched}>
    <label>${t("data.bring.address")} <input class="wide" placeholder="org/name" value=${address}
      onInput=${(event) => setAddress(event.target.value.trim())} /></label>
    <label>${t("data.bring.most")} <input type="number" min="0" value=${most}
      onInput=${(event) => setMost(event.target.value)} /></label>
    <${Failed} error=${state.error} />
    <p><button class="main" disabled=${!address || state.busy}>
      ${state.busy ? t("page.loading") : t("data.bring.fetch")}</button></p>
  </form>`;
}
