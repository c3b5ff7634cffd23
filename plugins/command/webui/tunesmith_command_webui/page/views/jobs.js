// The queue as a view: all jobs, the devices, the rules.
import { html } from "../lib/html.js";
import { Jobs } from "../components/jobs.js";

export default function Queue() {
  return html`<${Jobs} />`;
}
