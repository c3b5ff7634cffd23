// Data: what there is, one set with everything that is done with it, and the library of prompts.
import { html } from "../lib/html.js";
import { List } from "./data/list.js";
import { Prompts } from "./data/prompts.js";
import { SetPage } from "./data/set.js";

const PROMPTS = ":prompts"; // no name of a file

export default function Data({ detail }) {
  if (detail === PROMPTS) return html`<${Prompts} />`;
  if (detail) return html`<${SetPage} key=${detail} data=${detail} />`;
  return html`<${List} />`;
}
