// A prompt from the library, its variables filled in.
import { html, useEffect, useState } from "../../lib/html.js";
import { get } from "../../lib/api.js";
import { t } from "../../lib/i18n.js";
import { Dialog } from "../../components/dialog.js";
import { complain } from "../../components/toast.js";

const fill = (text, values) => (text ?? "").replace(/\{\{\s*([\w-]+)\s*\}\}/g, (whole, name) => values[name] || whole);

/** @param {{onClose: () => void, onTake: (prompt: {text: string, system: string}) => void}} properties */
export function Prompts({ onClose, onTake }) {
  const [search, setSearch] = useState("");
  const [items, set] = useState(null);
  const [chosen, choose] = useState(null);
  useEffect(() => {
    const asked = new AbortController();
    const failed = (error) => error.name === "AbortError" || complain(error);
    get(`prompts?${new URLSearchParams({ search })}`, asked.signal).then((found) => set(found.items), failed);
    return () => asked.abort();
  }, [search]);
  const take = (prompt) => (prompt.variables?.length ? choose(prompt) : onTake(prompt));
  return html`<${Dialog} title=${t("chat.prompts")} onClose=${onClose}>
    ${chosen
      ? html`<${Variables} prompt=${chosen} onTake=${onTake} />`
      : html`<input type="search" class="wide" aria-label=${t("page.search")} placeholder=${t("page.search")}
            value=${search} onInput=${(event) => setSearch(event.target.value)} />
          <ul class="plain-list">
            ${(items ?? []).map((prompt) => html`<li>
              <button type="button" class="plain pick" onClick=${() => take(prompt)}>
                <strong>${prompt.name}</strong> <span class="soft">${(prompt.text || prompt.system).slice(0, 90)}</span>
              </button>
            </li>`)}
          </ul>
          ${items?.length === 0
            ? html`<p class="help">${t("chat.no_prompts")} <a href="#data/prompts">${t("views.data")}</a></p>`
            : null}`}
  </${Dialog}>`;
}

function Variables({ prompt, onTake }) {
  const [values, set] = useState({});
  const taken = (event) => {
    event.preventDefault();
    onTake({ text: fill(prompt.text, values), system: fill(prompt.system, values) });
  };
  return html`<form onSubmit=${taken}>
    <h3>${prompt.name}</h3>
    ${prompt.variables.map((name) => html`<label>${name}
      <textarea rows="1" class="wide" value=${values[name] ?? ""}
        onInput=${(event) => set({ ...values, [name]: event.target.value })}></textarea>
    </label>`)}
    <footer><button class="main">${t("page.ok")}</button></footer>
  </form>`;
}
