// A run's configuration: what was chosen, or all of it; and the distributions that made the run.
import { html, useEffect, useState } from "../../lib/html.js";
import { get } from "../../lib/api.js";
import { t } from "../../lib/i18n.js";
import { Copy } from "../../components/copy.js";

export function Configuration({ run }) {
  const [whole, setWhole] = useState(run.foreign);
  const [changed, set] = useState(null);
  const [error, setError] = useState(null);
  useEffect(() => {
    if (!run.foreign) get(`run-changes?run=${encodeURIComponent(run.name)}`).then(set, setError);
  }, [run.name]);
  const text = whole ? run.yaml || JSON.stringify(run.configuration, null, 2) : changed?.yaml;
  const choice = (name, is) => html`<label class="row">
    <input type="radio" name="whole" checked=${whole === is} onChange=${() => setWhole(is)} />
    ${t(`runs.${name}`)}</label>`;
  const lock = run.lock.join("\n");
  return html`<div>
    ${run.foreign ? null : html`<fieldset class="row"><legend class="unseen">${t("runs.configuration")}</legend>
      ${choice("changed", false)} ${choice("resolved", true)}</fieldset>`}
    ${error && !whole ? html`<p role="alert" class="bad">${error.message}</p>` : null}
    ${text === undefined && !error ? html`<p aria-busy="true">${t("page.loading")}</p>` : null}
    ${text ? html`<${Code} text=${text} />` : null}
    ${!whole && changed?.command ? html`<h3>${t("runs.command")}</h3><${Code} text=${changed.command} />` : null}
    ${lock ? html`<details><summary>plugins.lock</summary><${Code} text=${lock} /></details>` : null}
  </div>`;
}

function Code({ text }) {
  return html`<pre class="code" tabindex="0">${text}</pre><${Copy} text=${text} />`;
}
