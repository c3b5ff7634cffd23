// A run while it goes on, and afterwards: progress, curves, log, samples, the machine.
import { html, useEffect, useState } from "../lib/html.js";
import { get } from "../lib/api.js";
import { useTopic } from "../lib/events.js";
import { t } from "../lib/i18n.js";
import { Curves } from "../components/curves.js";
import { ACTIVE, Jobs, useJobs } from "../components/jobs.js";
import { Tabs } from "../components/tabs.js";
import { attempt } from "../components/toast.js";
import { compareLink, link } from "./runs/links.js";
import { Chooser } from "./watch/chooser.js";
import { Header } from "./watch/header.js";
import { Log } from "./watch/log.js";
import { Machine } from "./watch/machine.js";
import { Samples } from "./watch/samples.js";
import { Warnings } from "./watch/warnings.js";

const MOST_LINES = 5000; // of the log that are kept here
const PARTS = ["curves", "log", "samples", "machine"];

export default function Watch({ detail }) {
  const [ready, setReady] = useState(!detail); // the run that is asked for comes before the list of all
  const runs = useRuns(ready);
  const [asked, tab] = parts(detail);
  const run = asked || runs?.[0]?.name || "";
  if (!run && !runs) return html`<p aria-busy="true">${t("page.loading")}</p>`;
  if (!run) return html`<p>${t("watch.none")} <a href="#train">${t("watch.train")}</a></p><${Jobs} />`;
  const go = (name, part = tab) => {
    location.hash = part === "curves" ? link("watch", name) : `${link("watch", name)}/${part}`;
  };
  return html`
    <${Chooser} run=${run} runs=${runs ?? []} onChange=${go} />
    <${Run} key=${run} name=${run} tab=${tab} onTab=${(part) => go(run, part)} onReady=${() => setReady(true)} />
  `;
}

/** The run and the part of it that an address asks for: #watch/NAME/log, in which the name has no slash. */
function parts(detail, address = location.hash) {
  const last = address.slice("#watch/".length).split("/").slice(1).at(-1);
  return PARTS.includes(last) ? [detail.slice(0, -last.length - 1), last] : [detail, "curves"];
}

/** All runs, those that go on first; null until they are known. */
function useRuns(ready) {
  const [runs, set] = useState(null);
  const load = () => attempt(async () => set(runningFirst((await get("runs?sort=started&limit=500")).items)));
  useEffect(() => void (ready && load()), [ready]);
  useTopic(ready ? "runs" : "", (type) => type !== "runs" && load());
  return runs;
}

function runningFirst(rows) {
  const goesOn = ({ state }) => state === "running" || state === "stopping";
  return [...rows.filter(goesOn), ...rows.filter((row) => !goesOn(row))];
}

function Run({ name, tab, onTab, onReady }) {
  const told = useRun(name);
  const waits = useJobOf(name, ["queued"]);
  const known = Boolean(told.state || told.error);
  useEffect(() => void (known && onReady()), [known]);
  if (told.error) return html`<${NotThere} name=${name} error=${told.error} />`;
  const { state, progress, log } = told;
  const curves = () => html`<${RunCurves} name=${name} />`;
  const printed = () => html`<${Log} name=${name} printed=${log} file=${state?.log} />`;
  const samples = () => html`<${Samples} name=${name} evaluators=${state?.evaluators ?? []} />`;
  const machine = () => html`<${Machine} name=${name} progress=${progress} state=${state} />`;
  const tabs = [
    { id: "curves", label: t("watch.curves"), content: curves },
    { id: "log", label: t("watch.log"), content: printed },
    { id: "samples", label: t("watch.samples"), content: samples },
    { id: "machine", label: t("watch.machine"), content: machine },
  ];
  return html`
    ${told.state
      ? html`<${Header} name=${name} state=${told.state} progress=${told.progress} waits=${waits} />`
      : html`<p class="card watched" aria-busy="true">${t("page.loading")}</p>`}
    <${Warnings} found=${told.warnings} />
    <${Tabs} label=${t("watch.parts")} tabs=${tabs} now=${tab} onChange=${onTab} />
  `;
}

/** A run that is not there: its job, where one is on its way to make it; else why there is nothing. */
function NotThere({ name, error }) {
  const coming = useJobOf(name, ["queued", ...ACTIVE]);
  return html`<p role="status">${coming ? t("watch.coming") : error}</p><${Jobs} run=${name} bare />`;
}

/** Whether a job that trains the run is in one of some states. */
function useJobOf(name, states) {
  const jobs = Object.values(useJobs() ?? {});
  return jobs.some(({ run, kind, state }) => run === name && kind === "train" && states.includes(state));
}

function RunCurves({ name }) {
  return html`
    <${Curves} runs=${[name]} />
    <p class="row">
      <a href=${`api/watch/curves.csv?run=${encodeURIComponent(name)}`} download>${t("watch.all_values")}</a>
      <a href=${compareLink([name])}>${t("watch.compare")}</a>
    </p>
  `;
}

/** What the topic of a run tells, put together. */
function useRun(name) {
  const [told, set] = useState({ state: null, progress: null, warnings: [], log: null, error: null });
  useTopic(`run:${name}`, (type, data) => set((before) => heard(before, type, data)));
  return told;
}

function heard(before, type, data) {
  if (type === "state" || type === "progress") return { ...before, [type]: data, error: null };
  if (type === "error") return { ...before, error: data };
  if (type === "warning") {
    const known = before.warnings.some(({ step, name }) => step === data.step && name === data.name);
    return known ? before : { ...before, warnings: [...before.warnings, data] };
  }
  if (type !== "log") return before;
  const follows = before.log && data.start === before.log.end;
  const lines = follows ? [...before.log.lines, ...data.lines].slice(-MOST_LINES) : data.lines;
  return { ...before, log: { ...data, start: follows ? before.log.start : data.start, lines } };
}
