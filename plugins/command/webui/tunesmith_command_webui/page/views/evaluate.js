// Measuring models: a form, the results, two of them question by question, and answers to whole data sets.
import { html, useEffect, useState } from "../lib/html.js";
import { get } from "../lib/api.js";
import { t } from "../lib/i18n.js";
import { Tabs } from "../components/tabs.js";
import { Form } from "./evaluate/form.js";
import { partLink, partOf } from "./evaluate/links.js";
import { PairTable } from "./evaluate/pair.js";
import { Predictions } from "./evaluate/predictions.js";
import { Opened, Results } from "./evaluate/results.js";

/** @param {{detail: string}} properties the model that is chosen first: a run's name, or any address */
export default function Evaluate({ detail }) {
  const { part, open } = partOf() ?? { part: "new", open: [] };
  const model = partOf() ? "" : detail;
  const change = (id) => (location.hash = id === "new" ? "#evaluate" : partLink(id));
  const results = () => (open[0] ? html`<${Opened} key=${open[0]} folder=${open[0]} />` : html`<${Results} />`);
  const answers = () => html`<${Predictions} path=${open[0]} />`;
  const tabs = [
    { id: "new", label: t("evaluate.new"), content: () => html`<${Form} key=${model} model=${model} />` },
    { id: "results", label: t("evaluate.results"), content: results },
    { id: "compare", label: t("evaluate.compare"), content: () => html`<${Pairs} pair=${open} />` },
    { id: "predictions", label: t("evaluate.predictions_tab"), content: answers },
  ];
  return html`<${Tabs} label=${t("views.evaluate")} tabs=${tabs} now=${part} onChange=${change} />`;
}

function Pairs({ pair }) {
  const [names, set] = useState(null);
  useEffect(() => {
    const found = ({ items }) => set([...new Set(items.map(({ of }) => of))]);
    get("evaluations").then(found, () => set([]));
  }, []);
  if (!names) return html`<p aria-busy="true">${t("page.loading")}</p>`;
  if (names.length < 2) return html`<p class="soft">${t("evaluate.two_needed")}</p>`;
  const chosen = names.includes(pair[0]) && names.includes(pair[1]) ? pair : names.slice(0, 2);
  const open = (two) => (location.hash = partLink("compare", ...two));
  return html`<${PairTable} key=${chosen.join("\n")} names=${names} first=${chosen} onPair=${open} />`;
}
