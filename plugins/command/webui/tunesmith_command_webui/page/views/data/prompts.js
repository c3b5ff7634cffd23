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
      <label class="grow">${t("page.search")} <input type="search" value=${search} onInput=${(event) => setSearch(event.target.value)} /></label>
      <label>${t("prompts.tag")} <select value=${tag} onChange=${(event) => setTag(event.target.value)}>
        ${["", ...tags].map((one) => html`<option value=${one} key=${one}>${one || t("prompts.any")}</option>`)}</select></label>
      <button type="button" class="main" onClick=${() => setOpen({ kind: "edit", prompt: {} })}>${t("prompts.add")}</button>
      <a href="api/prompts" download="prompts.json">${t("prompts.export")}</a>
      <label>${t("prompts.import")} <input type="file" accept=".json" onChange=${take} /></label>
    </div>
    <${Failed} error=${error} />
    ${answer && !answer.items.length ? html`<p>${search || tag ? t("prompts.none") : t("prompts.empty")}</p>` : null}
    ${answer ? html`<div class="tiles">${answer.items.map((prompt) => html`<${Card} key=${prompt.name} prompt=${prompt} onOpen=${setOpen} />`)}</div>`
      : error ? null : html`<${Loading} />`}
    ${open?.kind === "edit" ? html`<${Form} prompt=${open.prompt} onDone=${done} onClose=${() => setOpen(null)} />` : null}
    ${open?.kind === "fill" ? html`<${Fill} prompt=${open.prompt} onClose=${() => setOpen(null)} />` : null}
    ${open?.kind === "remove" ? html`<${Confirm} title=${t("prompts.remove")} text=${t("prompts.remove_text", open.prompt)} action=${t("prompts.remove")}
      onYes=${() => attempt(async () => (await remove(`prompts/${encodeURIComponent(open.prompt.name)}`), done()))} onClose=${() => setOpen(null)} />` : null}
  `;
}

function Card({ prompt, onOpen }) {
  const act = (kind) => () => onOpen({ kind, prompt });
  return html`<article class="card"><h3>${prompt.name}</h3>
    ${prompt.system ? html`<p class="help">${prompt.system}</p>` : null}
    <pre class="short-text">${prompt.text}</pre>
    <p>${prompt.tags.map((tag) => html`<span class="badge" key=${tag}>${tag}</span> `)}
      ${prompt.variables.map((name) => html`<code key=${name}>{{${name}}}</code> `)}</p>
    <div class="row">
      <button type="button" aria-label=${t("prompts.use_one", prompt)} onClick=${act("fill")}>${t("prompts.use")}</button>
      <button type="button" aria-label=${t("prompts.change_one", prompt)} onClick=${act("edit")}>${t("prompts.change")}</button>
      <button type="button" aria-label=${t("prompts.remove_one", prompt)} onClick=${act("remove")}>${t("prompts.remove")}</button>
    </div></article>`;
}

function Form({ prompt, onDone, onClose }) {
  const [given, setGiven] = useState({ name: "", text: "", system: "", tags: [], ...prompt });
  const [error, setError] = useState(null);
  const change = (key) => (event) => setGiven({ ...given, [key]: event.target.value });
  const save = async (event) => {
    event.preventDefault();
    const tags = Array.isArray(given.tags) ? given.tags : given.tags.split(",").map((tag) => tag.trim()).filter(Boolean);
    const sent = { name: given.name, text: given.text, system: given.system, tags };
    const asked = prompt.name ? patch(`prompts/${encodeURIComponent(prompt.name)}`, sent) : post("prompts", sent);
    await asked.then(onDone, (failed) => setError(failed.message));
  };
  return html`<${Dialog} wide title=${prompt.name ? t("prompts.change_one", prompt) : t("prompts.add")} onClose=${onClose}>
    <form onSubmit=${save}>
      <label>${t("prompts.name")} <input required value=${given.name} onInput=${change("name")} /></label>
      <label>${t("prompts.system")} <textarea class="wide" rows="3" value=${given.system} onInput=${change("system")}></textarea></label>
      <label>${t("prompts.text")} <textarea class="wide" rows="8" value=${given.text} onInput=${change("text")}></textarea></label>
      <p class="help">${t("prompts.variables_help")}</p>
      <label>${t("prompts.tags")} <input value=${Array.isArray(given.tags) ? given.tags.join(", ") : given.tags} onInput=${change("tags")} /></label>
      <${Failed} error=${error} />
      ${prompt.versions?.length ? html`<details><summary>${t("prompts.versions", { count: prompt.versions.length })}</summary>
        ${prompt.versions.map((one) => html`<div class="card" key=${one.time}><p class="help">${moment(one.time)}</p><pre>${one.text}</pre>
          <button type="button" onClick=${() => setGiven({ ...given, text: one.text, system: one.system })}>${t("prompts.take")}</button></div>`)}</details>` : null}
      <footer class="row"><button type="button" onClick=${onClose}>${t("page.cancel")}</button><button class="main">${t("prompts.save")}</button></footer>
    </form>
  </${Dialog}>`;
}

/** The variables of a prompt as a form, and the text that they make. */
export function Fill({ prompt, onClose, onUse }) {
  const [values, setValues] = useState({});
  const text = filled(prompt.text, values);
  const system = filled(prompt.system, values);
  return html`<${Dialog} title=${prompt.name} onClose=${onClose}>
    ${prompt.variables.map((name) => html`<label key=${name}>${name}
      <textarea class="wide" rows="2" value=${values[name] ?? ""} onInput=${(event) => setValues({ ...values, [name]: event.target.value })}></textarea></label>`)}
    ${system ? html`<p class="help">${system}</p>` : null}
    <pre class="card">${text}</pre>
    <footer class="row"><${Copy} text=${text} />
      ${onUse ? html`<button type="button" class="main" onClick=${() => onUse({ text, system })}>${t("prompts.use")}</button>` : null}</footer>
  </${Dialog}>`;
}
