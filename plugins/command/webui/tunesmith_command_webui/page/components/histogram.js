// How many rows have how many tokens.
import { html, useState } from "../lib/html.js";
import { integer } from "../lib/format.js";
import { t } from "../lib/i18n.js";

const [WIDTH, HEIGHT] = [480, 100]; // units of the drawing

/** The bars from the first that has a row on, each with the tokens that it begins and ends with. */
function ranges(bars) {
  const all = bars.map(({ up_to, rows }, index) => ({ from: (bars[index - 1]?.up_to ?? 0) + 1, to: up_to, rows }));
  return all.slice(all.findIndex(({ rows }) => rows));
}

const inWords = ({ from, to, rows }) =>
  t("preview.bar", { from: integer(from), to: integer(to), rows: integer(rows) });

/**
 * Bars with both ends of their axis; the bar of rows that reach the limit is dashed. A bar's number is told where one
 * points, and all of them in a table.
 * @param {{lengths: object, limit?: number}} properties lengths as POST /api/data/preview has them; `max_length`
 */
export function Histogram({ lengths, limit }) {
  const [pointed, point] = useState(null);
  const bars = ranges(lengths.histogram);
  const last = bars[bars.length - 1];
  const told = [t("preview.histogram", lengths), reached(lengths, limit)].filter(Boolean).join("; ");
  return html`<figure class="histogram">
    <svg viewBox=${`0 0 ${WIDTH} ${HEIGHT + 10}`} role="img" aria-label=${told} preserveAspectRatio="none"
      onPointerLeave=${() => point(null)}>
      ${bars.map((bar, index) => html`<${Bar} key=${bar.to} bar=${bar} at=${index} of=${bars} limit=${limit}
        onPoint=${() => point(bar)} />`)}
    </svg>
    <div class="ends"><span>${t("models.tokens", { n: integer(bars[0].from) })}</span>
      <strong>${pointed ? inWords(pointed) : ""}</strong>
      <span>${t("models.tokens", { n: integer(last.to) })}</span></div>
    <figcaption class="help">${told}</figcaption>
    <${Counts} bars=${bars} />
  </figure>`;
}

function reached({ max, at_max: count = 0 }, limit) {
  if (!limit) return "";
  if (max < limit) return t("preview.under_limit", { limit: integer(limit) });
  return t("preview.at_limit", { count: integer(count), limit: integer(limit) });
}

function Bar({ bar, at, of, limit, onPoint }) {
  const width = WIDTH / of.length;
  const most = Math.max(...of.map(({ rows }) => rows));
  const height = bar.rows ? Math.max(2, (HEIGHT * bar.rows) / most) : 0;
  return html`<g onPointerEnter=${onPoint}>
    <rect class=${limit && bar.to >= limit ? "bar over" : "bar"} x=${at * width + 1} y=${HEIGHT + 5 - height}
      width=${Math.max(width - 2, 1)} height=${height} />
    <rect class="place" x=${at * width} y="0" width=${width} height=${HEIGHT + 10}><title>${inWords(bar)}</title></rect>
  </g>`;
}

function Counts({ bars }) {
  return html`<details><summary>${t("preview.bars")}</summary><table>
    <thead><tr><th scope="col">${t("preview.bar_tokens")}</th><th scope="col">${t("preview.bar_rows")}</th></tr></thead>
    <tbody>${bars.filter(({ rows }) => rows).map(({ from, to, rows }) => html`<tr key=${to}>
      <th scope="row" class="number">${integer(from)}–${integer(to)}</th><td class="number">${integer(rows)}</td>
    </tr>`)}</tbody>
  </table></details>`;
}
