// Export: what is exported in which forms, what that needs, the job that does it, and what came of it.
import { html, useEffect, useState } from "../lib/html.js";
import { get, newest, post } from "../lib/api.js";
import { t } from "../lib/i18n.js";
import { ModelPicker } from "../components/model_picker.js";
import { Options } from "../components/options.js";
import { attempt, tell } from "../components/toast.js";
import { Jobs } from "./export/jobs.js";
import { Made } from "./export/made.js";
import { Plan } from "./export/plan.js";
import { Result } from "./export/result.js";

const KINDS = ["run", "checkpoint", "export", "adapter", "model", "file", "cached", "known"];
const RESULT = "result:";

/** @param {{detail: string}} properties the name of a run, or result:FOLDER */
export default function Export({ detail }) {
  if (detail.startsWith(RESULT)) return html`<${Result} path=${detail.slice(RESULT.length)} />`;
  return html`<${Making} detail=${detail} />`;
}

function Making({ detail }) {
  const [source, setSource] = useState("");
  const [exporters, setExporters] = useState({ merged: {} });
  const [output, setOutput] = useState("");
  const [further, setFurther] = useState("");
  const [plan, busy] = usePlan(source, exporters, output, further);
  useEffect(() => void addressOf(detail).then(setSource), [detail]);
  const chosen = exporters ?? { merged: {} };
  const start = () =>
    attempt(async () => {
      const job = await post("exports", wish(source, chosen, output, further));
      tell(t("export.started", { title: job.title }));
      setOutput("");
    });
  const wrong = (plan?.problems ?? []).some((problem) => problem.severity === "error");
  return html`
    <form class="columns" onSubmit=${(event) => (event.preventDefault(), start())}>
      <div>
        <fieldset>
          <legend>${t("export.what")}</legend>
          <${ModelPicker} label=${t("export.source")} value=${source} onChange=${setSource} kinds=${KINDS}
            help=${t("export.source_help")} required />
        </fieldset>
        <fieldset>
          <legend>${t("export.forms")}</legend>
          <${Options} kind="exporter" value=${exporters} problems=${plan?.problems ?? []}
            onChange=${(value) => setExporters(value)} />
        </fieldset>
        <fieldset>
          <legend>${t("export.where")}</legend>
          <label for="export-output">${t("export.output")}</label>
          <input id="export-output" value=${output} placeholder=${plan?.output ?? ""} spellcheck=${false}
            onInput=${(event) => setOutput(event.target.value)} aria-describedby="export-output-help" />
          <p class="help" id="export-output-help">${t("export.output_help")}</p>
          <details>
            <summary>${t("export.further")}</summary>
            <label for="export-further">${t("export.further_label")}</label>
            <textarea id="export-further" class="code" rows="3" value=${further} spellcheck=${false}
              onInput=${(event) => setFurther(event.target.value)} placeholder="quantizer=null"></textarea>
          </details>
        </fieldset>
      </div>
      <aside class="export-side" aria-label=${t("export.needs")}>
        <${Plan} plan=${plan} busy=${busy} chosen=${Boolean(source)} />
        <p><button class="main" disabled=${!source || wrong || !plan || plan.error}>${t("export.start")}</button></p>
      </aside>
    </form>
    <${Jobs} />
    <${Made} />
  `;
}

/** The address of what the page was opened for: a run by its name. */
async function addressOf(detail) {
  if (!detail) return "";
  const query = new URLSearchParams({ search: detail, limit: 200 });
  const found = await get(`models?${query}`).catch(() => ({ items: [] }));
  return found.items.find((item) => item.name === detail)?.address ?? detail;
}

/** What the interface is asked for. */
function wish(source, exporters, output, further) {
  const lines = further.split("\n").map((line) => line.trim()).filter((line) => line.includes("="));
  const pair = (line) => [line.slice(0, line.indexOf("=")), read(line.slice(line.indexOf("=") + 1))];
  const overrides = Object.fromEntries(lines.map(pair));
  const options = Object.entries(exporters).map(([name, value]) => [name, value === true ? {} : value]);
  return { source, exporters: Object.fromEntries(options), output: output || null, overrides };
}

function read(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text; // a text without quotes
  }
}

const CLIENT = Math.random().toString(36).slice(2);

/** What the plan says of a wish, some moments after it was last changed. */
function usePlan(source, exporters, output, further) {
  const [plan, set] = useState(null);
  const [busy, setBusy] = useState(false);
  const wanted = JSON.stringify(wish(source, exporters ?? { merged: {} }, output, further));
  useEffect(() => {
    if (!source) return set(null);
    const asked = new AbortController();
    setBusy(true);
    const ask = async () => {
      try {
        set(await newest("exports/plan", { ...JSON.parse(wanted), client: CLIENT }, asked.signal));
      } catch (error) {
        if (asked.signal.aborted) return;
        set({ error: error.message, problems: [] });
      }
      setBusy(false);
    };
    const waiting = setTimeout(ask, 300);
    return () => (clearTimeout(waiting), asked.abort());
  }, [wanted]);
  return [plan, busy];
}
