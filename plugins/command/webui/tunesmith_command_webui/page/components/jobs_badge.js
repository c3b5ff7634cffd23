// What runs and what waits, on every view; a click leads to it.
import { html } from "../lib/html.js";
import { t } from "../lib/i18n.js";
import { ACTIVE, useJobs } from "./jobs/live.js";

export function JobsBadge() {
  const jobs = Object.values(useJobs() ?? {});
  const running = jobs.filter(({ state }) => ACTIVE.includes(state));
  const queued = jobs.filter(({ state }) => state === "queued");
  const words = [
    running.length && t("page.running", { count: running.length }),
    queued.length && t("page.queued", { count: queued.length }),
  ].filter(Boolean);
  return html`<span class="jobs" role="status">
    ${words.length > 0 && html`<a class="badge" href="#jobs">${words.join(" · ")}</a>`}
  </span>`;
}
