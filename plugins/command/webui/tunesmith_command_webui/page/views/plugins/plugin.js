// One plugin: what it does, its options, what it says of itself, and its README.
import { html, useEffect, useState } from "../../lib/html.js";
import { get } from "../../lib/api.js";
import { maybe, t } from "../../lib/i18n.js";
import { Dialog } from "../../components/dialog.js";
import { Markdown } from "../../components/markdown.js";
import { Copy } from "../../components/copy.js";
import { helpOf, labelOf } from "../../components/field.js";
import { Sentence } from "../../components/words.js";

export function Plugin({ address, onClose }) {
  const [told, set] = useState(null);
  const [error, setError] = useState(null);
  const [kind, name] = address.split(/[./](.*)/s);
  useEffect(() => {
    set(null);
    setError(null);
    if (!name) return setError(new Error(t("plugins.no_such", { address })));
    get(`plugins/${encodeURIComponent(kind)}/${encodeURIComponent(name)}`).then(set, setError);
  }, [address]);
  return html`<${Dialog} title=${address} onClose=${onClose} wide>
    ${error ? html`<pre class="bad" role="alert">${error.message}</pre>` : null}
    ${told ? html`<${Told} told=${told} />` : error ? null : html`<p aria-busy="true">${t("page.loading")}</p>`}
  </${Dialog}>`;
}

function Told({ told }) {
  const words = `options.${told.kind}.${told.name}`;
  const summary = maybe(`${words}.summary`);
  const traits = told.traits.map(traitOf).join(" · ");
  const selected = `${told.kind}=${told.name}`;
  return html`
    ${summary ? html`<p><${Sentence} text=${summary} /></p>` : null}
    <pre class="plugin-doc">${told.doc}</pre>
    ${told.why ? html`<pre class="bad" role="alert">${told.why}</pre>` : null}
    <p class="row"><span class="soft">${told.distribution} ${told.version} · ${told.licence}</span>
      ${told.homepage ? html`<${Homepage} address=${told.homepage} />` : null}</p>
    ${["command", "dialect"].includes(told.kind)
      ? null
      : html`<p class="row">${t("plugins.select")} <code>${selected}</code> <${Copy} text=${selected} /></p>`}
    ${traits ? html`<p class="help">${t("plugins.traits")}: ${traits}</p>` : null}
    ${told.options.length
      ? html`<${OptionsTable} told=${told} words=${words} />`
      : html`<p>${t("plugins.no_options")}</p>`}
    ${told.readme ? html`<details><summary>README</summary><${Markdown} text=${told.readme} /></details>` : null}
  `;
}

const Homepage = ({ address }) =>
  html`<a href=${address} target="_blank" rel="noopener noreferrer">${t("plugins.homepage")}</a>`;

function traitOf({ name, value }) {
  const words = name.replaceAll("_", " ");
  return value === true ? words : `${words}: ${value}`;
}

function OptionsTable({ told, words }) {
  const head = (name) => html`<th scope="col">${t(`plugins.${name}`)}</th>`;
  const row = (option) => html`<tr>
    <th scope="row"><code>${option.name}</code>${labelled(labelOf(option, `${words}.${option.name}`))}</th>
    <td><code>${option.type}</code></td>
    <td>${option.required
      ? html`<em>${t("plugins.required")}</em>`
      : html`<code>${JSON.stringify(option.default)}</code>`}</td>
    <td><${Sentence} text=${helpOf(option, `${words}.${option.name}`)} /></td>
  </tr>`;
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${t("plugins.options")}>
    <table class="plugin-options"><thead><tr>${["option", "type", "default", "meaning"].map(head)}</tr></thead>
      <tbody>${told.options.map(row)}</tbody></table></div>`;
}

const labelled = (label) => (label ? html`<br /><span class="soft">${label}</span>` : null);
