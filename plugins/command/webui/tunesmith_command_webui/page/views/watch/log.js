// What a run printed: followed, searched, wrapped, or its warnings alone.
import { html, useEffect, useRef, useState } from "../../lib/html.js";
import { get } from "../../lib/api.js";
import { integer } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { attempt } from "../../components/toast.js";

const MARKS = { warning: "⚠ ", error: "✖ ", "": "" };

/**
 * @param {{name: string, file: string | null, printed: {lines: any[], start: number, end: number} | null}} properties
 */
export function Log({ name, file, printed }) {
  const [own, set] = useState({ follow: true, wrap: true, only: false, search: "" });
  const [earlier, setEarlier] = useState([]);
  const [found, setFound] = useState(null);
  const box = useRef();
  const lines = found ? found.lines : [...earlier.flatMap((part) => part.lines), ...(printed?.lines ?? [])];
  const start = earlier[0]?.start ?? printed?.start ?? 0;
  useSearch(name, own, printed?.end, setFound);
  useEffect(() => {
    if (own.follow && !found && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [printed, own, found]);
  if (!file) return html`<p>${t("watch.no_log")}</p>`;
  const more = () =>
    attempt(async () => {
      set({ ...own, follow: false });
      const part = await get(`watch/log?run=${encodeURIComponent(name)}&end=${start}`);
      setEarlier([part, ...earlier]);
    });
  const flip = (key) => html`<label class="row"><input type="checkbox" checked=${own[key]}
    onChange=${(event) => set({ ...own, [key]: event.target.checked })} />${t(`watch.${key}`)}</label>`;
  return html`
    <div class="row controls">
      <label class="row">${t("page.search")} <input type="search" value=${own.search}
        onInput=${(event) => set({ ...own, search: event.target.value })} /></label>
      ${flip("only")} ${flip("follow")} ${flip("wrap")}
      <a href=${`api/watch/log/file?run=${encodeURIComponent(name)}`} download>${t("watch.download_log", { file })}</a>
      ${found ? html`<span role="status">${t("watch.found", counted(found))}</span>` : null}
    </div>
    ${!found && start > 0 ? html`<p><button type="button" onClick=${more}>${t("watch.earlier")}</button></p>` : null}
    <div class=${`printed ${own.wrap ? "" : "unwrapped"}`} role="log" aria-live="off" aria-label=${t("watch.log")}
      tabindex="0" ref=${box}>
      ${lines.map(
        ({ at, text, level }) => html`<div key=${at} class=${level === "error" ? "bad" : level}>
          ${MARKS[level]}${text}</div>`,
      )}
      ${lines.length ? null : html`<p class="soft">${t(found ? "watch.nothing_found" : "watch.nothing_printed")}</p>`}
    </div>
  `;
}

const counted = ({ found, lines }) => ({ count: integer(found), shown: integer(lines.length) });

/** Have the server search; it has the whole log. */
function useSearch(name, { search, only }, end, set) {
  const wanted = search.trim();
  useEffect(() => {
    if (!wanted && !only) return void set(null);
    const stop = new AbortController();
    const asked = new URLSearchParams({ run: name, search: wanted, only: only ? "warning" : "" });
    const wait = setTimeout(() => attempt(async () => set(await get(`watch/log?${asked}`, stop.signal))), 250);
    return () => (clearTimeout(wait), stop.abort());
  }, [name, wanted, only, wanted || only ? Math.floor((end ?? 0) / 4096) : 0]);
}
