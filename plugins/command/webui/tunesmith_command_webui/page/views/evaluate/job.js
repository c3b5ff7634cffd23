// An evaluation that was started: its state and what it says.
import { html, useEffect, useRef, useState } from "../../lib/html.js";
import { post } from "../../lib/api.js";
import { useTopic } from "../../lib/events.js";
import { t } from "../../lib/i18n.js";
import { whyOf } from "../../components/jobs/why.js";
import { attempt } from "../../components/toast.js";
import { Results } from "./results.js";

const MOST = 20000; // characters of a log that are kept

export function Job({ job: first }) {
  const [job, set] = useState(first);
  const [log, setLog] = useState("");
  const end = useRef();
  useTopic(`job:${first.id}`, (type, data) => {
    if (type === "job") set(data);
    if (type === "log") setLog((now) => (data.start === 0 ? data.text : now + data.text).slice(-MOST));
  });
  useEffect(() => {
    if (end.current) end.current.scrollTop = end.current.scrollHeight;
  }, [log]);
  const going = ["queued", "running", "stopping"].includes(job.state);
  const of = (job.run ?? job.output ?? "").replace(/\/predictions\.jsonl$/, "").split("/").at(-1);
  const stop = () => attempt(() => post(`jobs/${job.id}/stop`));
  return html`<section class="card">
    <div class="row"><h3 class="grow title">${job.title}</h3>
      <span class="badge" aria-live="polite">${t(`evaluate.states.${job.state}`)}</span>
      ${going ? html`<button type="button" onClick=${stop}>${t("evaluate.stop")}</button>` : null}</div>
    ${going ? html`<progress aria-label=${job.title}></progress>` : null}
    ${whyOf(job) ? html`<p class="soft">${whyOf(job)}</p>` : null}
    ${log ? html`<pre class="code log" tabindex="0" ref=${end}>${log}</pre>` : null}
    ${job.state === "done" && job.kind === "eval" ? html`<${Results} of=${job.run ?? of} />` : null}
    ${job.state === "done" && job.kind === "predict" ? html`<p>${t("evaluate.predicted")}</p>` : null}
  </section>`;
}
