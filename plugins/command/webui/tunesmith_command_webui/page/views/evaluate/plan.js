// What an evaluation needs, and what is wrong with it.
import { html } from "../../lib/html.js";
import { t } from "../../lib/i18n.js";
import { Copy } from "../../components/copy.js";

export function Plan({ plan, ready }) {
  const { told, error, busy } = plan;
  const problems = told?.problems ?? [];
  const problem = (each) => html`<${Problem} key=${each.message} problem=${each} />`;
  const command = told ? `tunesmith ${told.command.map(quoted).join(" ")}` : null;
  return html`<section class="card" aria-busy=${String(busy)}>
    <h2>${t("evaluate.plan")}</h2>
    <div aria-live="polite">
      ${!ready ? html`<p class="soft">${t("evaluate.choose")}</p>` : null}
      ${ready && busy ? html`<p>${t("page.loading")}</p>` : null}
      ${error ? html`<pre class="bad">${error.message}</pre>` : null}
      ${told && !busy && !problems.length ? html`<p class="good">${t("evaluate.no_problems")}</p>` : null}
      ${problems.length ? html`<ul class="problems">${problems.map(problem)}</ul>` : null}
    </div>
    ${told && !busy ? html`<p class="help">${t("evaluate.output", { folder: told.output })}</p>
      <pre class="code" tabindex="0">${command}</pre><${Copy} text=${command} />` : null}
  </section>`;
}

function Problem({ problem }) {
  const { key, message, advice, severity } = problem;
  return html`<li class=${severity === "warning" ? "warning" : "bad"}>
    ${key ? html`<code>${key}</code> ` : null}${message}
    ${advice ? html`<br /><span class="soft">${advice}</span>` : null}</li>`;
}

const quoted = (word) => (/^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);
