// What is in use now, and what was predicted for the run beside what it took.
import { html, useState } from "../../lib/html.js";
import { useTopic } from "../../lib/events.js";
import { bytes, duration, integer, number, percent } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { Jobs } from "../../components/jobs.js";

export function Machine({ name, progress, state }) {
  const [sample, set] = useState(null);
  useTopic("machine", (type, data) => type === "sample" && set(data));
  return html`<div class="columns">
    <section class="card" aria-label=${t("watch.of_run")}>
      <h3>${t("watch.of_run")}</h3>
      <${Taken} progress=${progress} />
      <${Compared} record=${state?.record} />
      <${Jobs} run=${name} bare />
    </section>
    <section class="card" aria-label=${t("watch.in_use")}>
      <h3>${t("watch.in_use")}</h3>
      ${sample ? html`<${InUse} sample=${sample} />` : html`<p aria-busy="true">${t("page.loading")}</p>`}
    </section>
  </div>`;
}

function InUse({ sample }) {
  const rows = [
    [t("watch.cpu", { cores: sample.cores }), sample.cpu_percent, 100, (value) => `${integer(value)} %`],
    [t("watch.memory"), sample.memory.used, sample.memory.total, bytes],
    [t("watch.disk"), sample.disk.used, sample.disk.total, bytes],
  ];
  const bar = ([label, used, total, form]) => html`<${Bar} key=${label} ...${{ label, used, total, form }} />`;
  return html`
    ${rows.map(bar)}
    ${sample.gpus.map((gpu) => html`<${Gpu} key=${gpu.id} gpu=${gpu} />`)}
    ${sample.gpus.length ? null : html`<p class="soft">${t("watch.no_gpu")}</p>`}
  `;
}

function Bar({ label, used, total, form }) {
  return html`<label class="used">
    <span>${label}</span>
    <span>${form(used)} ${form === bytes ? t("watch.of_total", { total: bytes(total) }) : ""}</span>
    <meter min="0" max=${total} high=${0.9 * total} value=${used}></meter>
  </label>`;
}

function Gpu({ gpu }) {
  const more = [
    gpu.utilisation === null ? "" : t("watch.busy", { share: percent(gpu.utilisation) }),
    gpu.temperature ? `${integer(gpu.temperature)} °C` : "",
    gpu.power ? `${integer(gpu.power)} W` : "",
    gpu.jobs.length ? t("watch.jobs", { jobs: gpu.jobs.join(", ") }) : "",
  ].filter(Boolean);
  return html`
    <${Bar} label=${gpu.name} used=${gpu.used ?? 0} total=${gpu.memory ?? 1} form=${bytes} />
    <p class="help">${more.join(" · ")}</p>
  `;
}

function Taken({ progress }) {
  const taken = progress?.processes;
  if (!taken) return html`<p class="soft">${t("watch.no_process")}</p>`;
  return html`<dl class="facts">
    <div><dt>${t("watch.processes")}</dt><dd>${integer(taken.count)}</dd></div>
    <div><dt>${t("watch.process_memory")}</dt><dd>${bytes(taken.memory)}</dd></div>
    <div><dt>${t("watch.cpu_time")}</dt><dd>${duration(taken.cpu_seconds)}</dd></div>
  </dl>`;
}

/** Of `run.json`: memory and times. */
function Compared({ record }) {
  if (!record?.measured) return html`<p class="help">${t("watch.no_record")}</p>`;
  const { predicted, measured } = record;
  const rows = [
    [t("watch.peak"), predicted?.peak?.bytes, measured.memory?.peak, bytes],
    [t("watch.a_step"), predicted?.seconds?.step, measured.seconds?.step, (value) => `${number(value, 3)} s`],
    [t("watch.loading"), predicted?.seconds?.loading, measured.seconds?.loading, duration],
    [t("watch.training"), null, measured.seconds?.training, duration],
    [t("watch.host"), null, measured.memory?.host, bytes],
  ].filter(([, one, other]) => (one ?? null) !== null || (other ?? null) !== null);
  const cell = (value, form) => (value === null || value === undefined ? "–" : form(value));
  const off = (one, other) => (one && other ? `${one > other ? "+" : ""}${integer((one / other - 1) * 100)} %` : "");
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${t("watch.planned")}><table>
    <thead><tr><th scope="col">${t("watch.planned")}</th><th scope="col">${t("watch.predicted")}</th>
      <th scope="col">${t("watch.measured")}</th><th scope="col">${t("watch.off")}</th></tr></thead>
    <tbody>${rows.map(([label, one, other, form]) => html`<tr key=${label}><th scope="row">${label}</th>
      <td class="number">${cell(one, form)}</td><td class="number">${cell(other, form)}</td>
      <td class="number">${off(one, other)}</td></tr>`)}</tbody>
  </table></div>`;
}
