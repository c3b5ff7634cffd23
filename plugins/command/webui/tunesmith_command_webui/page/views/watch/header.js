// What a run is and how far: state, progress, time left; stop and resume.
import { html, useState } from "../../lib/html.js";
import { post } from "../../lib/api.js";
import { bytes, duration, integer, moment, number, percent } from "../../lib/format.js";
import { maybe, t } from "../../lib/i18n.js";
import { Confirm } from "../../components/dialog.js";
import { attempt, tell } from "../../components/toast.js";
import { link } from "../runs/links.js";

const TONES = { running: "good", done: "good", failed: "bad" }; // the other states need a look

export function Header({ name, state, progress, waits }) {
  const facts = [
    [t("watch.stage"), state.stage],
    [t("watch.model"), state.model],
    [t("watch.adapter"), [state.adapter, state.quantizer].filter(Boolean).join(", ")],
    [t("watch.data"), (state.data ?? []).join(", ")],
    [t("watch.started"), state.started ? moment(state.started) : ""],
  ].filter(([, value]) => value);
  return html`<section class="card watched" aria-label=${name}>
    <div class="row">
      <h2 class="grow">${name}</h2>
      <span class=${`badge ${TONES[state.state] ?? "warning"}`}>
        ${maybe(`watch.states.${state.state}`) ?? state.state}</span>
      ${waits ? html`<a class="badge" href="#jobs">${t("watch.waits")}</a>` : null}
      <${Buttons} name=${name} state=${state} waits=${waits} />
    </div>
    ${state.problem ? html`<p role="alert">${state.problem}</p>` : null}
    ${progress ? html`<${Progress} progress=${progress} state=${state.state} />` : null}
    <${Facts} shown=${facts} />
    ${state.checkpoints?.length
      ? html`<details><summary>${t("watch.checkpoints", { count: state.checkpoints.length })}</summary>
          <p>${state.checkpoints.map((step) => integer(step)).join(", ")}</p></details>`
      : null}
  </section>`;
}

function Facts({ shown }) {
  const fact = ([label, value]) => html`<div key=${label}><dt>${label}</dt><dd>${value}</dd></div>`;
  return html`<dl class="facts">${shown.map(fact)}</dl>`;
}

function Progress({ progress, state }) {
  const { share, epoch, pace, seconds_left: left, phase, tokens, numbers, seconds } = progress;
  const [step, total] = [progress.step, progress.total_steps].map((value) => value && integer(value));
  const shown = [
    [t("watch.loss"), numbers.loss, number],
    [t("watch.reward"), numbers.reward, number],
    [t("watch.learning_rate"), numbers.learning_rate, number],
    [t("watch.gradient_norm"), numbers.grad_norm, number],
    [t("watch.speed"), numbers.tokens_per_second, integer],
    [t("watch.pace"), pace, (value) => `${number(value, 3)} s`],
    [t("watch.tokens"), tokens, integer],
    [t("watch.gpu_memory"), numbers.gpu_memory_gib, (value) => bytes(value * 2 ** 30)],
    [t("watch.seconds"), seconds, duration],
  ].filter(([, value]) => value !== null && value !== undefined);
  const place = total ? t("watch.step_of", { step, total }) : t("watch.step", { step });
  return html`
    <div class="row">
      <progress class="grow" aria-label=${t("watch.progress")} max="1"
        value=${share ?? (state === "running" ? null : 0)}></progress>
      <span>${share === null ? "" : percent(share)}</span>
    </div>
    <p class="row" aria-live="off">
      <span>${place}</span>
      ${epoch === null ? null : html`<span>${t("watch.epoch", { epoch: number(epoch, 3) })}</span>`}
      ${phase === "ended" ? null : html`<strong>${t(`watch.phases.${phase}`)}</strong>`}
      ${left === null ? null : html`<span>${t("watch.left", { time: duration(left) })}</span>`}
    </p>
    <${Facts} shown=${shown.map(([label, value, form]) => [label, form(value)])} />
  `;
}

function Buttons({ name, state, waits }) {
  const [asking, setAsking] = useState(false);
  const [busy, setBusy] = useState(false);
  const act = async (path, body, words) => {
    setBusy(true);
    await attempt(async () => (await post(path, body), tell(words)));
    setBusy(false);
    setAsking(false);
  };
  const job = encodeURIComponent(state.job && state.state !== "done" ? state.job : `run:${name}`);
  const stops = state.state === "running" || state.state === "stopping";
  const links = state.result || state.checkpoints?.length ? ["chat", "evaluate", "export"] : [];
  return html`<div class="row">
    ${stops
      ? html`<button type="button" class=${state.state === "stopping" ? "danger" : ""} disabled=${busy}
          onClick=${() => setAsking(true)}>${t(state.state === "stopping" ? "watch.kill" : "watch.stop")}</button>`
      : null}
    ${state.resumable && !waits
      ? html`<button type="button" class="main" disabled=${busy}
          onClick=${() => act("jobs/resume", { run: name }, t("watch.resumed"))}>${t("watch.resume")}</button>`
      : null}
    ${links.map((view) => html`<a key=${view} href=${link(view, name)}>${t(`views.${view}`)}</a>`)}
    ${asking
      ? html`<${Confirm} title=${t("watch.stop_title", { name })}
          action=${t(state.state === "stopping" ? "watch.kill" : "watch.stop")}
          text=${t(state.state === "stopping" ? "watch.kill_text" : "watch.stop_text")}
          onYes=${() => act(`jobs/${job}/stop`, {}, t("watch.stopping"))} onClose=${() => setAsking(false)} />`
      : null}
  </div>`;
}
