// The library of prompts: found by words and tags, with variables that a small form fills.
import { html, useState } from "../../lib/html.js";
import { patch, post, remove } from "../../lib/api.js";
import { moment } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { Confirm, Dialog } from "../../components/dialog.js";
import { Copy } from "../../components/copy.js";
import { attempt, tell } from "../../components/toast.js";
import { Failed, Loading, query, useAnswer } from "./words.js";

const FILL = /\{\{\s*(\w+)\s*\}\}/g;

/** A text with values in place of its {{variables}}. */
export const filled = (text, values) => text.replace(FILL, (whole, name) => values[name] || whole);

export function Prompts() {
  const [search, setSearch] = useState("");
  const [tag, setTag] = useState("");
  const [open, setOpen] = useState(null);
  const { answer, error, again } = useAnswer(`prompts?${query({ search, tag })}`);
  const done = () => (setOpen(null), again());
  const tags = [...new Set((answer?.items ?? []).flatMap((one) => one.tags))].sort();
  const take = (event) =>
    attempt(async () => {
      const read = JSON.parse(await event.target.files[0].text());
      const counts = await post("prompts/import", { prompts: read.prompts ?? read.items ?? read });
      tell(t("prompts.imported", counts));
      again();
    });
  return html`<p><a href="#data">← ${t("data.all")}</a></p>
    <h2>${t("prompts.title")}</h2>
    <div class="row data-tools">
      <label class="grow">${t("page.search")} <input type="search" value=${search}
        onInput=${(event) => setSearch(event.target.value)} /></label>
      <label>${t("prompts.tag")} <select value=${tag} onChange=${(event) => setTag(event.target.value)}>
        ${["", ...tags].map((one) => html`<option value=${one} key=${one}>${one || t("prompts.any")}</option>`)}
      </select></label>
      <button type="button" class="main" onClick=${() => setOpen({ kind: "edit", prompt: {} })}>
        ${t("prompts.add")}</button>
      <a href="api/prompts" download="prompts.json">${t("prompts.export")}</a>
      <label>${t("prompts.import")} <input type="file" accept=".json" onChange=${take} /></label>
    </div>
    <${Failed} error=${error} />
    ${answer && !answer.items.length ? html`<p>${search || tag ? t("prompts.none") : t("prompts.empty")}</p>` : null}
    ${answer || error ? null : html`<${Loading} />`}
    <div class="tiles">${(answer?.items ?? []).map(
      (prompt) => html`<${Card} key=${prompt.name} prompt=${prompt} onOpen=${setOpen} />`,
    )}</div>
    ${open ? html`<${DIALOGS[open.kind]} prompt=${open.prompt} onDone=${done} onClose=${() => setOpen(null)} />` : null}
  `;
}

const addressOf = ({ name }) => `prompts/${encodeURIComponent(name)}`;

function Remove({ prompt, onDone, onClose }) {
  const yes = () => attempt(async () => (await remove(addressOf(prompt)), onDone()));
  return html`<${Confirm} title=${t("prompts.remove")} text=${t("prompts.remove_text", prompt)}
    action=${t("prompts.remove")} onYes=${yes} onClose=${onClose} />`;
}

function Card({ prompt, onOpen }) {
  const act = (kind) => () => onOpen({ kind, prompt });
  return html`<article class="card"><h3>${prompt.name}</h3>
    ${prompt.system ? html`<p class="help">${prompt.system}</p>` : null}
    <pre class="short-text">${prompt.text}</pre>
    <p>${prompt.tags.map((tag) => html`<span class="badge" key=${tag}>${tag}</span> `)}
      ${prompt.variables.map((name) => html`<code key=${name}>{{${name}}}</code> `)}</p>
    <div class="row">
      <button type="button" aria-label=${t("prompts.use_one", prompt)} onClick=${act("fill")}>
        ${t("prompts.use")}</button>
      <button type="button" aria-label=${t("prompts.change_one", prompt)} onClick=${act("edit")}>
        ${t("prompts.change")}</button>
      <button type="button" aria-label=${t("prompts.remove_one", prompt)} onClick=${act("remove")}>
        ${t("prompts.remove")}</button>
    </div></article>`;
}

function Form({ prompt, onDone, onClose }) {
  const [given, setGiven] = useState({ name: "", text: "", system: "", ...prompt });
  const [tags, setTags] = useState((prompt.tags ?? []).join(", "));
  const [error, setError] = useState(null);
  const change = (key) => (event) => setGiven({ ...given, [key]: event.target.value });
  const save = async (event) => {
    event.preventDefault();
    const { name, text, system } = given;
    const sent = { name, text, system, tags: tags.split(",").map((tag) => tag.trim()).filter(Boolean) };
    const asked = prompt.name ? patch(addressOf(prompt), sent) : post("prompts", sent);
    await asked.then(onDone, (failed) => setError(failed.message));
  };
  const title = prompt.name ? t("prompts.change_one", prompt) : t("prompts.add");
  const area = (key, rows, word) => html`<label>${word}
    ${" "}<textarea class="wide" rows=${rows} value=${given[key]} onInput=${change(key)}></textarea></label>`;
  const changed = ["name", "text", "system"].some((key) => given[key] !== (prompt[key] ?? ""));
  return html`<${Dialog} wide title=${title} changed=${changed} onClose=${onClose}>
    <form onSubmit=${save}>
      <label>${t("prompts.name")} <input required value=${given.name} onInput=${change("name")} /></label>
      ${area("system", 3, t("prompts.system"))}
      ${area("text", 8, t("prompts.text"))}
      <p class="help">${t("prompts.variables_help")}</p>
      <label>${t("prompts.tags")} <input value=${tags} onInput=${(event) => setTags(event.target.value)} /></label>
      <${Failed} error=${error} />
      <${Former} versions=${prompt.versions ?? []} onTake=${(text, system) => setGiven({ ...given, text, system })} />
      <footer class="row"><button type="button" onClick=${onClose}>${t("page.cancel")}</button>
        <button class="main">${t("prompts.save")}</button></footer>
    </form>
  </${Dialog}>`;
}

function Former({ versions, onTake }) {
  if (!versions.length) return null;
  return html`<details><summary>${t("prompts.versions", { count: versions.length })}</summary>
    ${versions.map(({ time, text, system }) => html`<div class="card" key=${time}>
      <p class="help">${moment(time)}</p><pre>${text}</pre>
      <button type="button" onClick=${() => onTake(text, system)}>${t("prompts.take")}</button></div>`)}</details>`;
}

/** The variables of a prompt as a form, and the text that they make. */
export function Fill({ prompt, onClose, onUse }) {
  const [values, setValues] = useState({});
  const text = filled(prompt.text, values);
  const system = filled(prompt.system, values);
  return html`<${Dialog} title=${prompt.name} onClose=${onClose}>
    ${prompt.variables.map((name) => html`<label key=${name}>${name}
      <textarea class="wide" rows="2" value=${values[name] ?? ""}
        onInput=${(event) => setValues({ ...values, [name]: event.target.value })}></textarea></label>`)}
    ${system ? html`<p class="help">${system}</p>` : null}
    <pre class="card">${text}</pre>
    <footer class="row"><${Copy} text=${text} />
      ${onUse
        ? html`<button type="button" class="main" onClick=${() => onUse({ text, system })}>${t("prompts.use")}</button>`
        : null}</footer>
  </${Dialog}>`;
}

const DIALOGS = { edit: Form, fill: Fill, remove: Remove };
