// Two results question by question: is the difference more than chance?
import { html, useState } from "../../lib/html.js";
import { post } from "../../lib/api.js";
import { integer, number } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { Table } from "../../components/table.js";
import { attempt } from "../../components/toast.js";
import { measured, text } from "./words.js";

/**
 * @param {{names: string[], first?: string[], onPair?: (pair: string[]) => void}} properties
 *   names of runs, or folders, that hold results; the two that are chosen first; what hears of other ones
 */
export function PairTable({ names, first = names.slice(0, 2), onPair }) {
  const [pair, setPair] = useState(first);
  const [found, set] = useState(null);
  const [busy, setBusy] = useState(false);
  const compare = async () => {
    setBusy(true);
    const told = await attempt(() => post("evaluations/compare", { first: pair[0], second: pair[1] }));
    set(told?.items ?? null);
    setBusy(false);
  };
  const choose = (index, name) => {
    set(null);
    const next = pair.map((other, at) => (at === index ? name : other));
    setPair(next);
    onPair?.(next);
  };
  const side = (index) => html`<label>${t(index ? "evaluate.second" : "evaluate.first")}
    <select value=${pair[index]} onChange=${({ target }) => choose(index, target.value)}>
      ${names.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}
    </select></label>`;
  return html`<section class="card">
    <h2>${t("evaluate.pair")}</h2>
    <p class="help">${t("evaluate.pair_help")}</p>
    <div class="row filters">${side(0)} ${side(1)}
      <button type="button" class="main" disabled=${busy || pair[0] === pair[1]} aria-busy=${String(busy)}
        onClick=${compare}>${t("evaluate.compare")}</button></div>
    <div aria-live="polite">${busy ? t("evaluate.comparing") : null}</div>
    ${found ? found.map((each) => html`<${Compared} key=${each.evaluator} each=${each} />`) : null}
  </section>`;
}

/** Whether chance alone seldom makes such a difference. */
function verdict({ p_value: p, interval, difference, second }) {
  if (p === null || !interval) return html`<span class="soft">${t("evaluate.unknown")}</span>`;
  if (interval[0] <= 0 && interval[1] >= 0) return html`<span class="soft">${t("evaluate.noise")}</span>`;
  const better = difference > 0 === second.greater_is_better;
  return html`<span class=${better ? "good" : "bad"}>${t(better ? "evaluate.is_better" : "evaluate.is_worse")}</span>`;
}

function Compared({ each }) {
  const between = ({ interval }) => (interval ? interval.map((end) => number(end, 3)).join(" … ") : "–");
  const changed = (row) => (row.paired ? `${integer(row.num_better)} / ${integer(row.num_worse)}` : "–");
  const columns = [
    { key: "metric", label: t("evaluate.metric"), head: true, cell: (row) => row.metric },
    { key: "dataset", label: t("evaluate.dataset"), cell: (row) => row.dataset },
    { key: "first", label: t("evaluate.first"), number: true, cell: (row) => measured(row.first) },
    { key: "second", label: t("evaluate.second"), number: true, cell: (row) => measured(row.second) },
    { key: "interval", label: t("evaluate.interval"), number: true, cell: between },
    { key: "p", label: "p", number: true, cell: (row) => number(row.p_value, 2) },
    { key: "changed", label: t("evaluate.changed"), number: true, cell: changed },
    { key: "verdict", label: t("evaluate.verdict"), cell: verdict },
  ];
  const setting = ([name, pair]) => `${name}: ${pair.map((value) => JSON.stringify(value)).join(" → ")}`;
  const settings = Object.entries(each.settings).map(setting).join("; ");
  const counted = each.only_first + each.only_second + each.other_examples;
  return html`<div>
    <${Table} titled caption=${each.evaluator} columns=${columns} rows=${each.differences}
      rowKey=${(row) => `${row.dataset} ${row.metric}`} />
    ${settings ? html`<p class="warning">${t("evaluate.other_settings")} ${settings}</p>` : null}
    ${counted ? html`<p class="warning">${t("evaluate.not_paired", { count: counted })}</p>` : null}
    <${Changed} differences=${each.differences} />
  </div>`;
}

function Changed({ differences }) {
  const first = differences.find(({ better, worse }) => better.length || worse.length);
  if (!first) return null;
  const said = (side, record) => html`<div><dt>${t(`evaluate.${side}`)} · ${number(record[first.metric])}</dt>
    <dd><pre>${text(record.prediction)}</pre></dd></div>`;
  const pair = ([one, two]) => html`<article class="card example" key=${`${one.dataset} ${one.index}`}>
    <pre class="soft">${text(one.prompt)}</pre>
    <dl class="said">
      <div><dt>${t("evaluate.answer")}</dt><dd><pre>${text(one.answer)}</pre></dd></div>
      ${said("first", one)} ${said("second", two)}
    </dl></article>`;
  const part = (name) => {
    if (!first[name].length) return null;
    const title = t(`evaluate.got_${name}`, { metric: first.metric });
    return html`<details><summary>${title}</summary>${first[name].map(pair)}</details>`;
  };
  return html`${part("better")}${part("worse")}`;
}
