// What a job says, as it says it.
import { html, useEffect, useRef, useState } from "../../lib/html.js";
import { useTopic } from "../../lib/events.js";
import { t } from "../../lib/i18n.js";
import { Dialog } from "../dialog.js";
import { Copy } from "../copy.js";

const KEPT = 400000; // characters; what is older is in the file

export function LogDialog({ job, onClose }) {
  return html`<${Dialog} wide title=${t("jobs.logOf", { title: job.title })} onClose=${onClose}>
    <${Log} id=${job.id} /></${Dialog}>`;
}

/** @param {{id: string}} properties the job */
export function Log({ id }) {
  const [log, set] = useState({ text: "", unfinished: "", offset: -1 });
  const element = useRef();
  const follows = useRef(true);
  useTopic(`job:${id}`, (type, data) => {
    if (type === "log") set((before) => joined(before, data));
  });
  useEffect(() => {
    if (follows.current) element.current.scrollTop = element.current.scrollHeight;
  }, [log]);
  const scrolled = ({ target }) =>
    (follows.current = target.scrollHeight - target.scrollTop - target.clientHeight < 40);
  const text = log.text + log.unfinished;
  return html`<div class="log-view">
    <pre ref=${element} class="log" tabindex="0" role="log" aria-live="off" aria-label=${t("jobs.log")}
      onScroll=${scrolled}>${text || t("jobs.logEmpty")}</pre>
    <${Copy} text=${text} />
  </div>`;
}

/** A part joins what was before it; one that begins elsewhere takes its place. */
function joined(before, { text, unfinished, start, offset }) {
  if (offset < before.offset) return before;
  const whole = start === before.offset ? before.text + text : text;
  return { text: whole.slice(-KEPT), unfinished, offset };
}
