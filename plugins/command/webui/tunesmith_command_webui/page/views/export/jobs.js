// Exports that are being made, and those that just were: state, log, and the way to what they wrote.
import { html, useEffect, useRef, useState } from "../../lib/html.js";
import { post } from "../../lib/api.js";
import { useTopic } from "../../lib/events.js";
import { duration } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { whyOf } from "../../components/jobs/why.js";
import { attempt } from "../../components/toast.js";

const SHOWN = 5;
const KEPT = 60_000; // characters of a log

export function Jobs() {
  const [jobs, set] = useState({});
  useTopic("jobs", (type, data) => {
    if (type === "jobs") set(Object.fromEntries((data.items ?? data).map((job) => [job.id, job])));
    else if (type === "job") set((all) => ({ ...all, [data.id]: data }));
    else if (type === "removed") set(({ [data]: _, ...rest }) => rest);
  });
  const shown = Object.values(jobs)
    .filter((job) => job.kind === "export")
    .sort((one, other) => other.created - one.created)
    .slice(0, SHOWN);
  if (!shown.length) return null;
  return html`<section>
    <h2>${t("export.jobs")}</h2>
    ${shown.map((job, index) => html`<${Job} key=${job.id} job=${job} open=${index === 0} />`)}
  </section>`;
}

const CLASSES = { done: "good", failed: "bad", stopped: "warning" };
const isActive = (job) => ["queued", "running", "stopping"].includes(job.state);

function Job({ job, open }) {
  const [isOpen, setOpen] = useState(open && job.state !== "done");
  useEffect(() => void (job.state === "failed" && setOpen(true)), [job.state]);
  const stop = () => attempt(() => post(`jobs/${job.id}/stop`));
  const took = job.ended && job.started ? job.ended - job.started : null;
  return html`<div class="card export-job">
    <div class="row">
      <strong class="grow">${job.title}</strong>
      <span class=${`badge ${CLASSES[job.state] ?? ""}`} aria-live="polite">${t(`export.states.${job.state}`)}</span>
      ${took === null ? null : html`<span class="soft">${duration(took)}</span>`}
      ${isActive(job) ? html`<button type="button" onClick=${stop}>${t("export.stop")}</button>` : null}
      ${job.state === "done" && job.output
        ? html`<a href=${`#export/${encodeURIComponent(`result:${job.output}`)}`}>${t("export.show_result")}</a>`
        : null}
    </div>
    ${job.state === "running" ? html`<progress aria-label=${job.title}></progress>` : null}
    ${whyOf(job) ? html`<p class="help">${whyOf(job)}</p>` : null}
    <details open=${isOpen} onToggle=${(event) => setOpen(event.target.open)}>
      <summary>${t("export.log")}</summary>
      ${isOpen ? html`<${Log} id=${job.id} />` : null}
    </details>
  </div>`;
}

function Log({ id }) {
  const [log, set] = useState({ text: "", offset: 0, unfinished: "" });
  const element = useRef();
  useTopic(`job:${id}`, (type, data) => {
    if (type !== "log") return;
    const text = (before) => (data.start === before.offset ? before.text + data.text : data.text);
    set((before) => ({ ...data, text: text(before).slice(-KEPT) }));
  });
  useEffect(() => {
    element.current.scrollTop = element.current.scrollHeight;
  }, [log]);
  return html`<pre class="export-log" ref=${element} tabindex="0" role="log" aria-label=${t("export.log")}>
${log.text}${log.unfinished ?? ""}</pre>`;
}
