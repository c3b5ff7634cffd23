// One run: what it is, what it took, what it made.
import { html, useEffect, useState } from "../../lib/html.js";
import { get } from "../../lib/api.js";
import { useTopic } from "../../lib/events.js";
import { bytes, duration, integer, moment, number } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { Curves } from "../../components/curves.js";
import { Markdown } from "../../components/markdown.js";
import { Table } from "../../components/table.js";
import { Tabs } from "../../components/tabs.js";
import { Results } from "../evaluate/results.js";
import { Acts } from "./acts.js";
import { Configuration } from "./configuration.js";
import { Files } from "./files.js";
import { link } from "./links.js";
import { Notes } from "./notes.js";
import { Path, State, value } from "./words.js";

function useRun(name) {
  const [run, set] = useState(null);
  const [error, setError] = useState(null);
  const load = () => get(`runs/${encodeURIComponent(name)}`).then(set, setError);
  useEffect(() => void load(), [name]);
  useTopic("runs", (type, row) => {
    if (row?.name === name && type === "changed") set((now) => now && { ...now, ...row });
    if (row?.name === name && type === "changed" && row.state !== "running") load();
  });
  return { run, error, load, set };
}

export function Details({ name }) {
  const { run, error, load, set } = useRun(name);
  const [tab, setTab] = useState("overview");
  if (error) return html`<p role="alert">${error.message}</p><p><a href="#runs">${t("runs.back")}</a></p>`;
  if (!run) return html`<p aria-busy="true">${t("page.loading")}</p>`;
  const noted = (row) => set({ ...run, ...row });
  const tabs = [
    { id: "overview", label: t("runs.overview"), content: () => html`<${Overview} run=${run} onNoted=${noted} />` },
    { id: "curves", label: t("runs.curves"), content: () => html`<${Curves} runs=${[name]} />` },
    { id: "configuration", label: t("runs.configuration"), content: () => html`<${Configuration} run=${run} />` },
    { id: "made", label: t("runs.made"), content: () => html`<${Made} run=${run} />` },
    { id: "evaluations", label: t("runs.fields.evaluations"), content: () => html`<${Results} of=${name} />` },
    { id: "files", label: t("runs.files"), content: () => html`<${Files} run=${run} />` },
  ];
  return html`<div class="run">
    <p class="soft back"><a href="#runs">${t("runs.back")}</a></p>
    <div class="row"><h2 class="grow title">${name}</h2><${State} state=${run.state} /></div>
    ${run.problem ? html`<p role="alert" class="bad">${run.problem}</p>` : null}
    ${run.foreign ? html`<p class="help">${t("runs.foreign_help")}</p>` : null}
    <${Acts} run=${run} onChange=${load} />
    <${Tabs} label=${name} tabs=${tabs} now=${tab} onChange=${setTab} />
  </div>`;
}

function Overview({ run, onNoted }) {
  return html`<div class="columns">
    <div>
      <${Facts} facts=${facts(run)} />
      <${Measured} record=${run.record} />
      ${run.card
        ? html`<details><summary>${t("runs.card")}</summary><${Markdown} text=${body(run.card)} /></details>`
        : null}
    </div>
    <${Notes} run=${run} onNoted=${onNoted} />
  </div>`;
}

/** A model card without its metadata. */
const body = (card) => card.replace(/^---\n[\s\S]*?\n---\n/, "");

function Facts({ facts: pairs }) {
  const fact = ([key, what]) => html`<div key=${key}><dt>${t(`runs.fields.${key}`)}</dt><dd>${what}</dd></div>`;
  return html`<dl class="facts">${pairs.map(fact)}</dl>`;
}

function facts(run) {
  const pairs = [
    ["stage", run.stage],
    ["model", run.model && html`<${Path} path=${run.model} />`],
    ["adapter", run.adapter],
    ["quantizer", run.quantizer],
    ["data", run.data.join(", ")],
    ["started", run.started && moment(run.started)],
    ["seconds", run.seconds !== null && duration(run.seconds)],
    ["step", run.step && `${integer(run.step)} / ${run.total_steps ? integer(run.total_steps) : "?"}`],
    ["epoch", run.epoch && number(run.epoch, 3)],
    ["loss", run.loss !== null && number(run.loss)],
    ["best", run.best !== null && best(run)],
    ["size", bytes(run.size)],
    ["result", run.result && t(`runs.results.${run.result}`)],
    ["path", run.path],
  ];
  return pairs.filter(([, what]) => what);
}

function best({ best: value, best_step: step, metric }) {
  return html`${number(value)} <span class="soft">${metric}, ${t("runs.at_step", { step: integer(step) })}</span>`;
}

/** What was predicted beside what it took. */
function Measured({ record }) {
  if (!record?.measured) return null;
  const { predicted, measured } = record;
  const rows = [
    ["memory", predicted?.peak?.bytes, measured.memory?.peak, bytes],
    ["step", predicted?.seconds?.step, measured.seconds?.step, (seconds) => `${number(seconds, 3)} s`],
    ["training", null, measured.seconds?.training, duration],
    ["loading", predicted?.seconds?.loading, measured.seconds?.loading, duration],
  ];
  const shown = (form, what) => (what === null || what === undefined ? "–" : form(what));
  const percent = (share) => `${share > 0 ? "+" : ""}${integer(100 * share)} %`;
  const times = (ratio) => t("runs.times", { count: number(ratio, 2) });
  const compared = (ratio) => (ratio > 1.5 || ratio < 0.67 ? times(ratio) : percent(ratio - 1));
  const off = (guess, real) => (guess && real ? compared(real / guess) : "–");
  const columns = [
    { key: "what", label: t("runs.what"), head: true, cell: ([name]) => t(`runs.measured.${name}`) },
    { key: "predicted", label: t("runs.predicted"), number: true, cell: ([, guess, , form]) => shown(form, guess) },
    { key: "taken", label: t("runs.taken"), number: true, cell: ([, , real, form]) => shown(form, real) },
    { key: "off", label: t("runs.off"), number: true, cell: ([, guess, real]) => off(guess, real) },
  ];
  return html`<${Table} titled caption=${t("runs.predicted_measured")} columns=${columns} rows=${rows}
    rowKey=${([name]) => name} />`;
}

function Made({ run }) {
  const to = (view, name) => html`<a href=${link(view, name)}>${t(`views.${view}`)}</a>`;
  const written = (each) => (each.modified ? moment(each.modified) : "–");
  const isWhole = (each) => (each.complete ? t("runs.yes") : html`<span class="bad">${t("runs.no")}</span>`);
  const formatOf = ({ format: known, proven }) =>
    html`${value(known)} ${proven ? null : html`<span class="soft">${t("runs.unproven")}</span>`}`;
  const acts = ({ path }) => html`${to("chat", path)} · ${to("evaluate", path)}`;
  const name = { key: "name", label: t("runs.fields.name"), head: true, cell: (each) => each.name };
  const size = { key: "size", label: t("runs.fields.size"), number: true, cell: (each) => bytes(each.size) };
  const when = { key: "modified", label: t("runs.written"), number: true, cell: written };
  const whole = { key: "complete", label: t("runs.whole"), cell: isWhole };
  const links = { key: "acts", label: t("runs.acts"), cell: acts };
  const format = { key: "format", label: t("runs.format"), cell: formatOf };
  const list = (title, columns, rows, none) =>
    rows.length
      ? html`<${Table} titled caption=${title} columns=${columns} rows=${rows} rowKey=${(each) => each.name} />`
      : html`<h3>${title}</h3><p class="soft">${none}</p>`;
  const ofCheckpoints = [name, whole, size, when, links];
  const noExports = html`${t("runs.no_exports")} ${to("export", run.name)}`;
  return html`<div>
    ${list(t("runs.fields.checkpoints"), ofCheckpoints, run.checkpoint_list, t("runs.no_checkpoints"))}
    ${list(t("runs.exports"), [name, format, size, when, links], run.exports, noExports)}
  </div>`;
}
