// What runs and what waits, on every view; a click leads to it.
import { html, useState } from "../lib/html.js";
import { useTopic } from "../lib/events.js";
import { t } from "../lib/i18n.js";

const ACTIVE = ["running", "stopping"];

export function JobsBadge() {
  const [jobs, set] = useState({});
  useTopic("jobs", (type, data) => {
    if (type === "jobs") set(Object.fromEntries((data.items ?? data).map((job) => [job.id, job])));
    if (type === "job") set((others) => ({ ...others, [data.id]: data }));
  });
  const running = Object.values(jobs).filter(({ state }) => ACTIVE.includes(state));
  const queued = Object.values(jobs).filter(({ state }) => state === "queued");
  const words = [
    running.length && t("page.running", { count: running.length }),
    queued.length && t("page.queued", { count: queued.length }),
  ].filter(Boolean);
  const run = running.find((job) => job.run)?.run;
  return html`<span class="jobs" role="status">
    ${words.length > 0 && html`<a class="badge" href=${run ? `#watch/${encodeURIComponent(run)}` : "#watch"}>${words.join(" · ")}</a>`}
  </span>`;
}
