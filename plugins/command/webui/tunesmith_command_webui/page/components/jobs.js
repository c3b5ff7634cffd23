// What runs, what waits for which device, and what has ended: with the ways to stop, resume, move and read each.
import { html, useState } from "../lib/html.js";
import { t } from "../lib/i18n.js";
import { post, remove } from "../lib/api.js";
import { attempt, tell } from "./toast.js";
import { Confirm } from "./dialog.js";
import { Devices } from "./jobs/devices.js";
import { Job } from "./jobs/job.js";
import { ACTIVE, useJobs } from "./jobs/live.js";
import { Rules } from "./jobs/rules.js";

export { ACTIVE, useJobs };

const ENDED_SHOWN = 10;

/**
 * The queue.
 * @param {{run?: string, kinds?: string[], bare?: boolean}} properties
 *   run: only the jobs of one run; kinds: only those of some kinds; bare: without devices and rules.
 */
export function Jobs({ run, kinds, bare }) {
  const known = useJobs();
  if (known === null) return html`<p aria-busy="true">${t("jobs.reading")}</p>`;
  const wanted = (job) => (!run || job.run === run) && (!kinds || kinds.includes(job.kind));
  const jobs = Object.values(known).filter(wanted);
  const active = jobs.filter(({ state }) => ACTIVE.includes(state)).sort((a, b) => a.started - b.started);
  const queued = jobs.filter(({ state }) => state === "queued").sort((a, b) => a.place - b.place);
  const ended = jobs
    .filter((job) => !active.includes(job) && !queued.includes(job))
    .sort((a, b) => (b.ended ?? b.created) - (a.ended ?? a.created));
  return html`<section class="queue" aria-label=${t("jobs.title")}>
    ${!bare && html`<${Devices} jobs=${known} />`}
    ${!jobs.length && html`<p class="soft">${t("jobs.none")}</p>`}
    <${List} title=${t("jobs.running")} jobs=${active} />
    <${List} title=${t("jobs.queued")} jobs=${queued} order />
    <${Ended} jobs=${ended} every=${!run && !kinds} />
    ${!bare && html`<${Rules} />`}
  </section>`;
}

function List({ title, jobs, order }) {
  if (!jobs.length) return null;
  return html`<h3>${title}</h3>
    <ol class="plain-list">
      ${jobs.map(
        (job, at) => html`<${Job} key=${job.id} job=${job}
          onUp=${order && at > 0 ? () => move(job, jobs[at - 1].id) : null}
          onDown=${order && at < jobs.length - 1 ? () => move(job, jobs[at + 2]?.id ?? null) : null} />`,
      )}
    </ol>`;
}

const move = (job, before) => attempt(() => post(`jobs/${job.id}/move`, { before }));

function Ended({ jobs, every }) {
  const [all, setAll] = useState(false);
  const [asking, setAsking] = useState(false);
  if (!jobs.length) return null;
  const shown = all ? jobs : jobs.slice(0, ENDED_SHOWN);
  const forget = () =>
    attempt(async () => {
      setAsking(false);
      await (every ? post("jobs/clear") : Promise.all(jobs.map(({ id }) => remove(`jobs/${id}`))));
      tell(t("jobs.cleared"));
    });
  return html`<details class="ended">
    <summary>${t("jobs.ended", { count: jobs.length })}</summary>
    <ol class="plain-list">${shown.map((job) => html`<${Job} key=${job.id} job=${job} />`)}</ol>
    <div class="row">
      ${shown.length < jobs.length &&
      html`<button type="button" onClick=${() => setAll(true)}>${t("jobs.showAll", { count: jobs.length })}</button>`}
      <button type="button" onClick=${() => setAsking(true)}>${t("jobs.clear")}</button>
    </div>
    ${asking &&
    html`<${Confirm} title=${t("jobs.clear")} text=${t("jobs.clearAsks", { count: jobs.length })}
      action=${t("jobs.clear")} onYes=${forget} onClose=${() => setAsking(false)} />`}
  </details>`;
}
