// Where questions are written: Enter sends, Shift+Enter is a new line, Escape stops, ↑ changes the last one.
import { html, useEffect, useRef, useState } from "../../lib/html.js";
import { t } from "../../lib/i18n.js";
import { attempt } from "../../components/toast.js";
import { kept, Medium, SUFFIXES } from "./media.js";
import { Prompts } from "./prompts.js";
import { contentOf } from "./tree.js";

const DRAFT = "chat-draft"; // what is written and not sent, of this window

/**
 * @param {{kinds: string[], ready: boolean, busy: boolean, why: string, send: (content: any) => void, stop: () => void,
 *          editLast: () => void, onSystem: (text: string) => void}} properties `why` it cannot be sent now
 */
export function Composer({ kinds, ready, busy, why, send, stop, editLast, onSystem }) {
  const [text, set] = useState(() => sessionStorage.getItem(DRAFT) ?? "");
  const [media, setMedia] = useState([]);
  const [choosing, setChoosing] = useState(false);
  const field = useRef();
  const picker = useRef();
  const write = (next) => {
    sessionStorage.setItem(DRAFT, next); // at once, for an effect comes after a frame, and a reload may be before that
    set(next);
  };
  useEffect(() => {
    field.current.style.height = "auto";
    field.current.style.height = `${Math.min(field.current.scrollHeight + 2, innerHeight * 0.4)}px`;
  }, [text]);
  const can = ready && !busy && Boolean(text.trim() || media.length);
  const submit = (event) => {
    event?.preventDefault();
    if (!can) return;
    send(contentOf(text, media));
    write("");
    setMedia([]);
  };
  const typed = (event) => {
    if (event.isComposing) return; // Enter takes a character of an input method
    if (event.key === "Enter" && !event.shiftKey) submit(event);
    else if (event.key === "ArrowUp" && !text) (event.preventDefault(), editLast());
  };
  const add = (files) => attempt(async () => {
    const more = await kept(files, kinds);
    setMedia((now) => [...now, ...more]);
  });
  const pasted = (event) => {
    if (!event.clipboardData.files.length) return;
    event.preventDefault();
    add(event.clipboardData.files);
  };
  const dropped = (event) => (event.preventDefault(), add(event.dataTransfer.files));
  const filled = ({ text: asked, system }) => {
    setChoosing(false);
    if (asked) write(asked);
    if (system) onSystem(system);
    field.current.focus();
  };
  const without = (address) => setMedia(media.filter((other) => other.address !== address));
  const attached = (each) => html`<${Medium} ...${each} onRemove=${() => without(each.address)} />`;
  const dragged = (event) => event.preventDefault();
  return html`<form class="composer" onSubmit=${submit} onDragOver=${dragged} onDrop=${dropped}>
    ${media.length ? html`<div class="row">${media.map(attached)}</div>` : null}
    <textarea ref=${field} rows="2" aria-label=${t("chat.question")} placeholder=${t("chat.question")} value=${text}
      onInput=${(event) => write(event.target.value)} onKeyDown=${typed} onPaste=${pasted}></textarea>
    <div class="row">
      <input ref=${picker} type="file" hidden multiple accept=${SUFFIXES} aria-label=${t("chat.attach")}
        onChange=${(event) => (add([...event.target.files]), (event.target.value = ""))} />
      <button type="button" disabled=${!kinds.length} title=${kinds.length ? null : t("chat.text_alone")}
        onClick=${() => picker.current.click()}>
        ${t("chat.attach")}
      </button>
      <button type="button" onClick=${() => setChoosing(true)}>${t("chat.prompts")}</button>
      <span class=${`help grow ${why ? "" : "keys"}`}>${why || t("chat.keys")}</span>
      ${busy
        ? html`<button type="button" class="danger" onClick=${stop}>${t("chat.stop")}</button>`
        : html`<button class="main" disabled=${!can}>${t("chat.send")}</button>`}
    </div>
    ${choosing ? html`<${Prompts} onClose=${() => setChoosing(false)} onTake=${filled} />` : null}
  </form>`;
}
