// Plugins: what is installed, what each is and can, what else there is, and how one is written.
import { html, useEffect, useMemo, useState } from "../lib/html.js";
import { get } from "../lib/api.js";
import { learn, maybe, t } from "../lib/i18n.js";
import { Copy } from "../components/copy.js";
import { Sentence } from "../components/words.js";
import { Plugin } from "./plugins/plugin.js";

const STATES = { ok: "good", broken: "bad", hidden: "warning" };

/** @param {{detail: string}} properties KIND.NAME of a plugin that is shown */
export default function Plugins({ detail }) {
  const [told, set] = useState(null);
  const [error, setError] = useState(null);
  const [search, setSearch] = useState("");
  const [kind, setKind] = useState("");
  useEffect(() => {
    learn("options");
    get("plugins").then(set, setError);
  }, []);
  const choice = ({ name }) => html`<option value=${name}>${name} (${ofKind(told.items, name).length})</option>`;
  const close = () => {
    if (location.hash.startsWith("#plugins/")) location.hash = "#plugins"; // else another view was asked for
  };
  const shown = detail ? html`<${Plugin} address=${detail} onClose=${close} />` : null;
  if (error) return html`<pre class="bad" role="alert">${error.message}</pre>`;
  if (!told) return html`<p aria-busy="true">${t("plugins.looking")}</p>${shown}`;
  return html`
    <div class="row plugin-filter">
      <input type="search" class="grow" aria-label=${t("plugins.search")} placeholder=${t("plugins.search")}
        value=${search} onInput=${(event) => setSearch(event.target.value)} />
      <select aria-label=${t("plugins.kind")} value=${kind} onChange=${(event) => setKind(event.target.value)}>
        <option value="">${t("plugins.all_kinds", { count: told.items.length })}</option>
        ${told.kinds.map(choice)}
      </select>
    </div>
    ${told.warnings.map((text) => html`<p class="warning">${text}</p>`)}
    <${Installed} told=${told} search=${search} kind=${kind} />
    <${More} told=${told} kind=${kind} />
    ${shown}
  `;
}

const ofKind = (items, kind) => items.filter((item) => item.kind === kind);

const summaryOf = (item) => maybe(`options.${item.kind}.${item.name}.summary`) ?? item.summary;

function Installed({ told, search, kind }) {
  const [most, setMost] = useState({});
  const found = useMemo(() => {
    const words = search.toLowerCase().split(/\s+/).filter(Boolean);
    const texts = (item) => [item.kind, item.name, item.distribution, item.summary, summaryOf(item), item.state];
    const says = (item, word) => texts(item).join(" ").toLowerCase().includes(word);
    const searched = kind ? ofKind(told.items, kind) : told.items;
    return searched.filter((item) => words.every((word) => says(item, word)));
  }, [told, search, kind]);
  const grouped = told.kinds.map((one) => ({ ...one, items: ofKind(found, one.name) }));
  const groups = grouped.filter(({ items }) => items.length);
  return html`
    <p aria-live="polite" class="soft">${t("plugins.found", { count: found.length })}</p>
    ${groups.map((group) => {
      const all = most[group.name] || search || kind;
      const shown = all ? group.items : group.items.slice(0, 12);
      const more = () => setMost({ ...most, [group.name]: true });
      return html`<section key=${group.name}>
        <h2>${group.name} <span class="soft plugin-kind">${kindOf(group)}</span></h2>
        <${Rows} items=${shown} kind=${group.name} />
        ${shown.length < group.items.length
          ? html`<button type="button" onClick=${more}>
              ${t("plugins.more", { count: group.items.length - shown.length })}
            </button>`
          : null}
      </section>`;
    })}
    ${groups.length ? null : html`<p>${t("plugins.none")}</p>`}
  `;
}

const kindOf = ({ name, summary }) => maybe(`options.${name}.summary`) ?? summary;

const head = (name) => html`<th scope="col">${t(`plugins.${name}`)}</th>`;

function Rows({ items, kind }) {
  const row = (item) => html`<tr key=${`${item.name} ${item.distribution}`}>
    <th scope="row"><a href=${`#plugins/${encodeURIComponent(`${item.kind}.${item.name}`)}`}>${item.name}</a></th>
    <td><${Sentence} text=${summaryOf(item)} />${item.why ? html`<pre class="bad help">${item.why}</pre>` : null}</td>
    <td>${item.distribution} <span class="soft">${item.version}</span></td>
    <td class=${STATES[item.state]}>${t(`plugins.states.${item.state}`)}</td>
  </tr>`;
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${kind}>
    <table class="plugins"><thead><tr>${["name", "what", "distribution", "state"].map(head)}</tr></thead>
      <tbody>${items.map(row)}</tbody></table></div>`;
}

/** What can be installed, and how one's own is begun. Commands are shown; nothing is installed from here. */
function More({ told, kind }) {
  const missing = told.available.filter((item) => !kind || item.kind === kind);
  const one = ({ kind: its, name, install }) =>
    html`<${Command} key=${install} label=${`${its}.${name}`} command=${install} />`;
  const group = ({ name, install }) => html`<${Command} key=${name} label=${name} command=${install} />`;
  const own = `tunesmith new ${kind && kind !== "dialect" ? kind : "reward"} my_plugin`;
  return html`
    <section>
      <h2>${t("plugins.available")}</h2>
      ${missing.length ? html`<ul>${missing.map(one)}</ul>` : html`<p>${t("plugins.all_installed")}</p>`}
      ${told.extras.length
        ? html`<details><summary>${t("plugins.extras")}</summary>
            <ul>${told.extras.map(group)}</ul></details>`
        : null}
    </section>
    <section>
      <h2>${t("plugins.own")}</h2>
      <p>${t("plugins.own_help")}</p>
      <ul><${Command} label=${t("plugins.begin")} command=${own} /></ul>
    </section>`;
}

function Command({ label, command }) {
  return html`<li class="row">
    <span>${label}</span> <code class="grow">${command}</code> <${Copy} text=${command} />
  </li>`;
}
