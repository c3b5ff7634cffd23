// All runs: a table, one of them in full, and several side by side.
import { html } from "../lib/html.js";
import { Compare } from "./runs/compare.js";
import { Details } from "./runs/details.js";
import { List } from "./runs/list.js";
import { comparedIn } from "./runs/links.js";

export default function Runs({ detail }) {
  const compared = comparedIn(detail);
  if (compared) return html`<${Compare} key=${detail} names=${compared} />`;
  return detail ? html`<${Details} key=${detail} name=${detail} />` : html`<${List} />`;
}
