// One job: what it is, how it stands, and what can be done with it.
import { html, useEffect, useState } from "../../lib/html.js";
import { maybe, t } from "../../lib/i18n.js";
import { duration, integer, moment } from "../../lib/format.js";
import { post, remove } from "../../lib/api.js";
import { useTopic } from "../../lib/events.js";
import { attempt, tell } from "../toast.js";
import { Confirm } from "../dialog.js";
import { LogDialog } from "./log.js";
import { whyOf } from "./why.js";

const COLOURS = { running: "good", done: "good", failed: "bad", stopped: "warning", stopping: "warning" };

export function Job({ job, onUp, onDown }) {
  const [open, setOpen] = useState("");
  const close = () => setOpen("");
  const name = job.run ? html`<a href=${`#watch/${encodeURIComponent(job.run)}`}>${job.title}</a>` : job.title;
  const kind = maybe(`jobs.kinds.${job.kind}`) ?? job.kind;
  const act = t(job.state === "stopping" ? "jobs.kill" : "jobs.stop");
  const stop = () => (close(), attempt(() => post(`jobs/${job.id}/stop`)));
  return html`<li class="job">
    <div class="row">
      <span class=${`badge ${COLOURS[job.state] ?? ""}`}>${t(`jobs.states.${job.state}`)}</span>
      <span class="grow"><strong>${name}</strong>${" "}
        <span class="soft">${kind}${job.tag && !job.title.startsWith(job.tag) ? ` · ${job.tag}` : ""}</span></span>
      <${Acts} job=${job} onUp=${onUp} onDown=${onDown} onOpen=${setOpen} />
    </div>
    <p class="help"><${Told} job=${job} /></p>
    ${job.kind === "train" && job.run && job.state === "running" ? html`<${Progress} run=${job.run} />` : null}
    ${open === "log" && html`<${LogDialog} job=${job} onClose=${close} />`}
    ${open === "stop" &&
    html`<${Confirm} title=${act} text=${t(`jobs.${stopText(job)}`, { title: job.title })}
      action=${act} onYes=${stop} onClose=${close} />`}
  </li>`;
}

/** How far a run is, once it has logged a step. */
function Progress({ run }) {
  const [progress, set] = useState(null);
  useTopic(`run:${run}`, (type, data) => type === "progress" && set(data));
  if (!progress?.total_steps) return null;
  const { step, total_steps: total, share, seconds_left: left } = progress;
  const told = t("jobs.steps", { step: integer(step), total: integer(total) });
  return html`<p class="help row"><progress class="grow" max="1" value=${share} aria-label=${run}></progress>
    ${told}${left ? ` · ${t("jobs.left", { time: duration(left) })}` : ""}</p>`;
}

function stopText(job) {
  if (job.state === "stopping") return "killAsks";
  return job.kind === "train" ? "stopAsks" : "endAsks";
}

function Acts({ job, onUp, onDown, onOpen }) {
  const is = (...states) => states.includes(job.state);
  const named = (act) => `${t(`jobs.${act}`)}: ${job.title}`;
  const button = (act, press, sign) =>
    html`<button type="button" aria-label=${named(act)} title=${sign ? t(`jobs.${act}`) : null}
      disabled=${busy} onClick=${press}>
      ${sign ?? t(`jobs.${act}`)}</button>`;
  const [busy, setBusy] = useState(false);
  const again = async () => {
    setBusy(true);
    await attempt(async () => (await post(`jobs/${job.id}/resume`), tell(t("jobs.again"))));
    setBusy(false);
  };
  return html`
    ${onUp && button("up", onUp, "↑")} ${onDown && button("down", onDown, "↓")}
    ${job.started && !job.elsewhere && button("log", () => onOpen("log"))}
    ${is("running") && button("stop", () => onOpen("stop"))}
    ${is("stopping") && button("kill", () => onOpen("stop"))}
    ${is("stopped", "failed") && button(job.resumable ? "resume" : "restart", again)}
    ${is("queued", "done", "failed", "stopped") && button("remove", () => attempt(() => remove(`jobs/${job.id}`)))}
  `;
}

/** Devices, times and reasons, in one line. */
function Told({ job }) {
  const [now, set] = useState(Date.now() / 1000);
  const runs = !job.ended && job.started;
  useEffect(() => {
    if (!runs) return undefined;
    const clock = setInterval(() => document.hidden || set(Date.now() / 1000), 1000);
    return () => clearInterval(clock);
  }, [runs]);
  const devices = job.devices.length ? job.devices : job.wanted;
  const taken = job.started && duration(Math.max((job.ended ?? now) - job.started, 0));
  return [
    job.elsewhere && t("jobs.elsewhere", { process: job.process, host: job.host }),
    devices.map((id) => (/^\d+$/.test(id) ? `GPU ${id}` : t(`jobs.devices.${id}`))).join(", "),
    job.started
      ? t("jobs.since", { time: moment(job.started), taken })
      : t("jobs.asked", { time: moment(job.created) }),
    whyOf(job),
    job.state === "failed" && job.code !== null && t("jobs.code", { code: job.code }),
  ]
    .filter(Boolean)
    .join(" · ");
}
