// Measuring models: a form, the results, two of them question by question, and answers to whole data sets.
import { html, useEffect, useState } from "../lib/html.js";
import { get } from "../lib/api.js";
import { t } from "../lib/i18n.js";
import { Tabs } from "../components/tabs.js";
import { Form } from "./evaluate/form.js";
import { PairTable } from "./evaluate/pair.js";
import { Predictions } from "./evaluate/predictions.js";
import { Results } from "./evaluate/results.js";

/** @param {{detail: string}} properties the model that is chosen first: a run's name, or any address */
export default function Evaluate({ detail }) {
  const [tab, setTab] = useState(detail ? "new" : (sessionStorage.getItem("evaluate.tab") ?? "new"));
  const change = (id) => {
    sessionStorage.setItem("evaluate.tab", id);
    setTab(id);
  };
  const tabs = [
    { id: "new", label: t("evaluate.new"), content: () => html`<${Form} key=${detail} model=${detail} />` },
    { id: "results", label: t("evaluate.results"), content: () => html`<${Results} />` },
    { id: "compare", label: t("evaluate.compare"), content: () => html`<${Pairs} />` },
    { id: "predictions", label: t("evaluate.predictions_tab"), content: () => html`<${Predictions} />` },
  ];
  return html`<${Tabs} label=${t("views.evaluate")} tabs=${tabs} now=${tab} onChange=${change} />`;
}

function Pairs() {
  const [names, set] = useState(null);
  useEffect(() => {
    const found = ({ items }) => set([...new Set(items.map(({ of }) => of))]);
    get("evaluations").then(found, () => set([]));
  }, []);
  if (!names) return html`<p aria-busy="true">${t("page.loading")}</p>`;
  if (names.length < 2) return html`<p class="soft">${t("evaluate.two_needed")}</p>`;
  return html`<${PairTable} names=${names} />`;
}
