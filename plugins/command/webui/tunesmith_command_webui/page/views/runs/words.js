// How the fields of a run are shown.
import { html } from "../../lib/html.js";
import { bytes, duration, integer, moment, number } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";

const KINDS = {
  running: "accent",
  stopping: "warning",
  done: "good",
  stopped: "warning",
  failed: "bad",
  incomplete: "soft",
};

/** Its state as a word with a colour. */
export function State({ state }) {
  return html`<span class=${`badge ${KINDS[state]}`}>${t(`runs.states.${state}`)}</span>`;
}

export function Tags({ tags }) {
  return tags.map((tag) => html`<span class="tag" key=${tag}>${tag}</span> `);
}

/** A number with the name of what was measured, by which another row may have another one. */
function Measured({ value: what, metric }) {
  if (what === null) return "–";
  return html`${number(what)} <span class="soft">${metric?.replace(/^eval_/, "")}</span>`;
}

/** The last part of a path, with all of it where the pointer rests. */
export function Path({ path }) {
  if (!path) return "–";
  const parts = path.replace(/\/+$/, "").split("/");
  const short = path.startsWith("/") || parts.length > 2 ? parts.at(-1) : path;
  return html`<span title=${path}>${short}</span>`;
}

/** Any value of a configuration. */
export function value(what) {
  if (what === null || what === undefined) return "–";
  if (typeof what === "number") return number(what, 5);
  if (typeof what === "string") return what;
  const isPlain = Array.isArray(what) && what.length && what.every((each) => typeof each !== "object");
  return isPlain ? what.join(", ") : JSON.stringify(what);
}

/** How far it is, where it is not at its end. */
function share({ step, total_steps: total }) {
  return step && step < total ? ` (${integer((100 * step) / total)} %)` : "";
}

/** All columns of the table but the first, by name; others are keys of configurations and metrics. */
export const COLUMNS = {
  state: { cell: (row) => html`<${State} state=${row.state} />` },
  stage: { cell: (row) => row.stage ?? "–" },
  model: { cell: (row) => html`<${Path} path=${row.model} />` },
  adapter: { cell: (row) => row.adapter ?? "–" },
  quantizer: { cell: (row) => row.quantizer ?? "–" },
  data: { cell: (row) => row.data.join(", ") || "–", fixed: true },
  started: { cell: (row) => (row.started ? moment(row.started) : "–"), number: true },
  seconds: { cell: (row) => duration(row.seconds), number: true },
  step: { cell: (row) => (row.step === null ? "–" : `${integer(row.step)}${share(row)}`), number: true },
  epoch: { cell: (row) => number(row.epoch, 3), number: true },
  loss: { cell: (row) => number(row.loss), number: true },
  value: { cell: (row) => html`<${Measured} value=${row.value} metric=${row.metric} />`, number: true },
  best: { cell: (row) => html`<${Measured} value=${row.best} metric=${row.metric} />`, number: true },
  checkpoints: { cell: (row) => integer(row.checkpoints), number: true },
  evaluations: { cell: (row) => row.evaluations.join(", ") || "–", fixed: true },
  size: { cell: (row) => bytes(row.size), number: true },
  tags: { cell: (row) => html`<${Tags} tags=${row.tags} />`, fixed: true },
};

/** Those that are shown until somebody chooses. */
export const FIRST = [
  ...["state", "stage", "model", "adapter", "data"],
  ...["step", "loss", "best", "tags", "seconds", "started"],
];

/** Those of them that give way on a phone, where state, loss and evaluation come first. */
export const WIDE = ["stage", "model", "adapter", "data", "step", "tags", "seconds"];

/** What the figures of a comparison are, as text. */
export function figure(name, what) {
  if (what === null || what === undefined) return "–";
  if (name === "state") return t(`runs.states.${what}`);
  if (["size", "memory_peak", "memory_predicted"].includes(name)) return bytes(what);
  if (name === "seconds") return duration(what);
  if (["tokens", "step", "best_step"].includes(name)) return integer(what);
  return value(what);
}
