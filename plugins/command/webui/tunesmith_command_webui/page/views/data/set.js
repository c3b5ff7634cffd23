// One data set: its rows, judging them, checks, versions, and new sets out of it.
import { html, useState } from "../../lib/html.js";
import { bytes, integer } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { Tabs } from "../../components/tabs.js";
import { Annotate } from "./annotate.js";
import { Browse } from "./browse.js";
import { Check } from "./check.js";
import { Make } from "./make.js";
import { Save } from "./save.js";
import { Versions } from "./versions.js";
import { Failed, Loading, query, useAnswer, useAuthor } from "./words.js";

export function SetPage({ data }) {
  const { answer: about, error, again } = useAnswer(`data/about?${query({ data })}`);
  const [tab, setTab] = useState("browse");
  const [only, setOnly] = useState(null); // rows of a finding: {title, rows}
  const [author, setAuthor] = useAuthor();
  const [saving, setSaving] = useState(false);
  if (error) return html`<p><a href="#data">← ${t("data.all")}</a></p><${Failed} error=${error} />`;
  if (!about) return html`<${Loading} />`;
  const shared = { data, about, author, onChanged: again };
  const saved = () => (setSaving(false), again(), setTab("versions"));
  const show = (title, rows) => (setOnly({ title, rows }), setTab("browse"));
  const contents = {
    browse: () => html`<${Browse} ...${shared} only=${only} onAll=${() => setOnly(null)} />`,
    annotate: () => html`<${Annotate} ...${shared} />`,
    check: () => html`<${Check} ...${shared} onShow=${show} />`,
    versions: () => html`<${Versions} ...${shared} />`,
    make: () => html`<${Make} ...${shared} />`,
  };
  const tabs = Object.keys(contents).map((id) => ({ id, label: t(`data.tabs.${id}`), content: contents[id] }));
  return html`
    <p><a href="#data">← ${t("data.all")}</a></p>
    <h2 class="name">${data}</h2>
    <${Facts} about=${about} />
    <div class="row data-tools">
      <label>${t("data.author")} <input value=${author} maxlength="80" autocomplete="name"
        onChange=${(event) => setAuthor(event.target.value.trim())} /></label>
      <button type="button" class="main" disabled=${!about.saveable} onClick=${() => setSaving(true)}>
        ${t("data.save.title")}</button>
      ${about.saveable
        ? html`<a href=${`api/data/download?${query({ data })}`} download>${t("data.download")}</a>`
        : html`<span class="help">${t("data.not_saveable")}</span>`}
    </div>
    <${Tabs} label=${data} tabs=${tabs} now=${tab} onChange=${setTab} />
    ${saving
      ? html`<${Save} ...${shared} onClose=${() => setSaving(false)} onDone=${saved} />`
      : null}
  `;
}

function Facts({ about }) {
  const facts = {
    format: about.format ?? t("data.no_format"),
    rows: integer(about.rows),
    size: bytes(about.size),
    columns: about.columns.join(", "),
    changed: about.changed ? integer(about.changed) : null,
  };
  return html`<dl class="facts">
    ${Object.entries(facts).map(([name, value]) =>
      value ? html`<div key=${name}><dt>${t(`data.facts.${name}`)}</dt><dd>${value}</dd></div>` : null)}
  </dl>
  ${about.partial ? html`<p class="help">${t("data.partial", { count: integer(about.rows) })}</p>` : null}`;
}
