// A table that is sorted by its heads, and whose rows can be chosen.
import { html } from "../lib/html.js";
import { t } from "../lib/i18n.js";

/**
 * @typedef {object} Column
 * @property {string} key
 * @property {string} label
 * @property {(row: any) => any} cell
 * @property {boolean} [number]
 * @property {boolean} [fixed] it cannot be sorted by
 * @property {boolean} [head] it names the row
 * @property {boolean} [wide] it is not shown on a phone
 */

/**
 * @param {object} properties
 * @param {string} properties.caption read by screen readers, and shown where `titled`
 * @param {Column[]} properties.columns
 * @param {any[]} properties.rows
 * @param {(row: any) => string} properties.rowKey
 * @param {{by: string, descending: boolean}} [properties.sort]
 * @param {(sort: {by: string, descending: boolean}) => void} [properties.onSort] without it no head is a button
 * @param {Set<string>} [properties.selected] keys of the rows that are chosen
 * @param {(selected: Set<string>) => void} [properties.onSelect] without it rows have no box
 * @param {boolean} [properties.titled]
 */
export function Table({ caption, columns, rows, rowKey, sort, onSort, selected, onSelect, titled = false }) {
  const flip = (key) => {
    const next = new Set(selected);
    if (!next.delete(key)) next.add(key);
    onSelect(next);
  };
  const chosen = (row) => (onSelect ? String(selected.has(rowKey(row))) : null);
  const box = (row) => html`<td class="choose"><input type="checkbox" checked=${selected.has(rowKey(row))}
    aria-label=${t("table.choose", { name: rowKey(row) })} onChange=${() => flip(rowKey(row))} /></td>`;
  const cell = (column, row) =>
    column.head
      ? html`<th scope="row" key=${column.key}>${column.cell(row)}</th>`
      : html`<td key=${column.key} class=${kind(column)}>${column.cell(row)}</td>`;
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${caption}>
    <table class="rows">
      <caption class=${titled ? null : "unseen"}>${caption}</caption>
      <thead><tr>
        ${onSelect ? html`<${AllBox} ...${{ rows, rowKey, selected, onSelect }} />` : null}
        ${columns.map((column) => html`<${Head} key=${column.key} ...${{ column, sort, onSort }} />`)}
      </tr></thead>
      <tbody>
        ${rows.map((row) => html`<tr key=${rowKey(row)} aria-selected=${chosen(row)}>
          ${onSelect ? box(row) : null}${columns.map((column) => cell(column, row))}
        </tr>`)}
      </tbody>
    </table>
  </div>`;
}

/** The classes of a column's cells. */
function kind({ number, wide }) {
  return [number ? "number" : "", wide ? "wide-screen" : ""].filter(Boolean).join(" ") || null;
}

function AllBox({ rows, rowKey, selected, onSelect }) {
  const all = rows.length > 0 && rows.every((row) => selected.has(rowKey(row)));
  return html`<th scope="col" class="choose"><input type="checkbox" checked=${all} disabled=${!rows.length}
    aria-label=${t("table.all")} onChange=${() => onSelect(new Set(all ? [] : rows.map(rowKey)))} /></th>`;
}

function Head({ column, sort, onSort }) {
  const { key, label } = column;
  const here = sort?.by === key;
  const order = here ? (sort.descending ? "descending" : "ascending") : null;
  if (!onSort || column.fixed) return html`<th scope="col" class=${kind(column)}>${label}</th>`;
  const mark = here ? (sort.descending ? " ↓" : " ↑") : "";
  const next = { by: key, descending: here ? !sort.descending : Boolean(column.number) };
  return html`<th scope="col" aria-sort=${order} class=${kind(column)}>
    <button type="button" class="plain head" onClick=${() => onSort(next)}>
      ${label}<span aria-hidden="true">${mark}</span>
    </button>
  </th>`;
}
