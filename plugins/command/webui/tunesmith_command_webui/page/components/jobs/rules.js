// The rules of the queue.
import { html, useEffect, useState } from "../../lib/html.js";
import { t } from "../../lib/i18n.js";
import { get, patch } from "../../lib/api.js";
import { attempt } from "../toast.js";

export function Rules() {
  const [rules, set] = useState(null);
  useEffect(() => {
    attempt(async () => set((await get("jobs?limit=1")).rules));
  }, []);
  if (!rules) return null;
  const change = (changes) => attempt(async () => set(await patch("jobs/rules", changes)));
  return html`<details class="rules">
    <summary>${t("jobs.rules")}${" "}
      ${rules.paused ? html`<span class="badge warning">${t("jobs.paused")}</span>` : null}</summary>
    <label class="check"><input type="checkbox" checked=${rules.paused}
      onChange=${({ target }) => change({ paused: target.checked })} /> ${t("jobs.pause")}</label>
    <label>${t("jobs.cpuJobs")} <input type="number" min="1" max="64" value=${rules.cpu_jobs}
      onChange=${({ target }) => target.checkValidity() && change({ cpu_jobs: Number(target.value) })} /></label>
  </details>`;
}
