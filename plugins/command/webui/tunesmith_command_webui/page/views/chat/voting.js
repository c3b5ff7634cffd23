// Two answers to one question: which is better, and how the models stand by all such votes.
import { html, useEffect, useState } from "../../lib/html.js";
import { get } from "../../lib/api.js";
import { integer, number, percent } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { Dialog } from "../../components/dialog.js";
import { complain } from "../../components/toast.js";

const WINNERS = ["left", "tie", "neither", "right"];
const COLUMNS = ["first", "second", "wins", "losses", "ties", "bad", "rate", "interval", "p"];

/**
 * @param {{voted: string | null, blind: boolean, onVote: (winner: string) => void, onRow: () => void,
 *          onNext: () => void}} properties
 */
export function Ballot({ voted, blind, onVote, onRow, onNext }) {
  const word = (winner) => (blind ? t(`chat.votes.blind.${winner}`) : t(`chat.votes.${winner}`));
  const button = (winner) => html`<button type="button" disabled=${Boolean(voted)}
    aria-pressed=${String(voted === winner)} onClick=${() => onVote(winner)}>${word(winner)}</button>`;
  return html`<div class="ballot row" role="group" aria-label=${t("chat.votes.which")}>
    ${WINNERS.map(button)}
    ${["left", "right"].includes(voted)
      ? html`<button type="button" onClick=${onRow}>${t("chat.votes.row")}</button>`
      : null}
    ${voted ? html`<button type="button" onClick=${onNext}>${t("chat.votes.next")}</button>` : null}
  </div>`;
}

/** How models stand against each other. */
export function Standings({ onClose }) {
  const [rows, set] = useState(null);
  const [blind, setBlind] = useState(false);
  useEffect(() => void get(`chats/votes?blind=${blind}`).then((found) => set(found.items), complain), [blind]);
  const column = (key) => html`<th scope="col">${t(`chat.votes.${key}`)}</th>`;
  return html`<${Dialog} title=${t("chat.votes.table")} wide onClose=${onClose}>
    <label class="check">
      <input type="checkbox" checked=${blind}
        onChange=${(event) => setBlind(event.target.checked)} /> ${t("chat.votes.blind_alone")}
    </label>
    <div class="scroll"><table>
      <thead><tr>${COLUMNS.map(column)}</tr></thead>
      <tbody>${(rows ?? []).map(standing)}</tbody>
    </table></div>
    ${rows?.length === 0 ? html`<p class="help">${t("chat.votes.none")}</p>` : null}
    <p class="help">${t("chat.votes.help")}</p>
  </${Dialog}>`;
}

function standing({ first, second, wins, losses, ties, neither, rate, low, high, p }) {
  const cell = (text) => html`<td class="number">${text}</td>`;
  return html`<tr key=${`${first} ${second}`}>
    <th scope="row">${first}</th><td>${second}</td>
    ${[wins, losses, ties, neither].map((count) => cell(integer(count)))}
    ${cell(rate === null ? "–" : percent(rate))}
    ${cell(rate === null ? "–" : `${percent(low)} – ${percent(high)}`)}
    ${cell(p === null ? "–" : number(p, 2))}
  </tr>`;
}
