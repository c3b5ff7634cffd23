// What a run would train on: rendered text with the trained tokens marked, lengths, findings.
import { html, useEffect, useRef, useState } from "../lib/html.js";
import { post } from "../lib/api.js";
import { integer, percent } from "../lib/format.js";
import { t } from "../lib/i18n.js";
import { Histogram } from "./histogram.js";

const PAUSE = 700; // ms without a change before it is asked
const ASKED = ["model", "template", "stage", "data", "patch"]; // what it depends on

/** The answer to the newest configuration; one question at a time, for a process answers them one by one. */
function usePreview(configuration, most) {
  const [state, set] = useState({ busy: false, answer: null, error: null });
  const asked = Object.fromEntries(ASKED.filter((key) => configuration?.[key]).map((key) => [key, configuration[key]]));
  const question = JSON.stringify([asked, most]);
  const newest = useRef(question);
  const waiting = useRef(Promise.resolve());
  newest.current = question;
  const ready = asked.model && asked.data && Object.keys(asked.data).length;
  useEffect(() => {
    if (!ready) return set({ busy: false, answer: null, error: null });
    const timer = setTimeout(() => {
      set((before) => ({ ...before, busy: true }));
      waiting.current = waiting.current.then(async () => {
        if (newest.current !== question) return;
        const [answer, error] = await post("data/preview", { configuration: asked, most }).then(
          (found) => [found, null],
          (failed) => [null, failed.message],
        );
        if (newest.current === question) set({ busy: false, answer, error });
      });
    }, PAUSE);
    return () => clearTimeout(timer);
  }, [question]);
  return { ...state, ready };
}

/**
 * @param {{configuration: object}} properties of the run, as POST /api/compose gives its values
 */
export function Preview({ configuration }) {
  const [most, setMost] = useState(200);
  const [borders, setBorders] = useState(false);
  const { busy, answer, error, ready } = usePreview(configuration, most);
  if (!ready) return html`<p class="soft">${t("preview.nothing")}</p>`;
  return html`<section class="preview" aria-busy=${busy}>
    <p aria-live="polite" class="soft">${busy ? t("preview.busy") : ""}</p>
    ${error ? html`<pre class="bad" role="alert">${error}</pre>` : null}
    ${answer ? html`<${Numbers} answer=${answer} limit=${configuration.stage?.max_length} />` : null}
    ${answer && answer.sets.train >= most
      ? html`<p class="help">${t("preview.first", { count: integer(most) })}
          <button type="button" onClick=${() => setMost(most * 5)} disabled=${busy || most >= 5000}>
            ${t("preview.more")}
          </button></p>`
      : null}
    ${answer
      ? html`<label><input type="checkbox" checked=${borders} onChange=${() => setBorders(!borders)} />
            ${" "}${t("preview.borders")}</label>
          <p class="help"><mark class="trained">${t("preview.trained")}</mark> ${t("preview.legend")}</p>
          ${answer.examples.map(
            (example) => html`<${Example} key=${example.index} example=${example} borders=${borders} />`,
          )}
          <${Findings} found=${answer.findings} />`
      : null}
  </section>`;
}

function Numbers({ answer, limit }) {
  const { lengths, trained, sets, notes } = answer;
  const share = trained.tokens ? trained.trained / trained.tokens : null;
  const decided = notes.filter(({ level }) => level === "info");
  const warned = notes.filter(({ level }) => level !== "info");
  return html`<dl class="facts">
      ${Object.entries(sets).map(([name, rows]) => html`<div key=${name}><dt>${name}</dt>
        <dd>${t("preview.examples", { count: rows ?? 0, examples: rows === null ? "?" : integer(rows) })}</dd></div>`)}
      ${lengths.rows
        ? html`<div><dt>${t("preview.tokens")}</dt><dd>${t("preview.quantiles", lengths)}</dd></div>`
        : null}
      ${share === null ? null : html`<div><dt>${t("preview.learned")}</dt><dd>${percent(share)}</dd></div>`}
      ${trained.examples_without
        ? html`<div class="warning"><dt>${t("preview.idle")}</dt><dd>${integer(trained.examples_without)}</dd></div>`
        : null}
    </dl>
    ${lengths.rows ? html`<${Histogram} lengths=${lengths} limit=${limit} />` : null}
    <ul class="notes">
      ${warned.map(({ message }) => html`<li class="warning">⚠ ${message}</li>`)}
    </ul>
    <details><summary>${t("preview.announced")}</summary>
      <ul class="notes">${decided.map(({ message }) => html`<li>${message}</li>`)}</ul>
    </details>`;
}

function Example({ example, borders }) {
  return html`<article class="card example">
    ${example.parts.map(
      (part) => html`<h3>${t("preview.example", { number: example.index + 1 })} ${part.name}
          ${" "}<small class="soft">
            ${t("preview.counts", { tokens: part.tokens, trained: part.trained ?? "–" })}</small></h3>
        <pre class="tokens" tabindex="0" role="region"
          aria-label=${`${t("preview.example", { number: example.index + 1 })} ${part.name}`}>${part.spans.map(
          (span, index) => html`<${Span} key=${index} span=${span} borders=${borders} />`,
        )}${part.shown < part.tokens ? "…" : ""}</pre>`,
    )}
    ${Object.entries(example.others).map(([name, value]) => html`<p class="help"><code>${name}</code> ${value}</p>`)}
  </article>`;
}

function Span({ span, borders }) {
  const text = borders
    ? span.tokens.map((token, index) => html`<span class="token" key=${index}>${token}</span>`)
    : span.tokens.join("");
  if (!span.trained) return html`<span>${text}</span>`;
  const weighs = span.weight !== 1 ? html`<sup>${span.weight}×</sup>` : null;
  return html`<mark class="trained">${weighs}${text}</mark>`;
}

/** What the linter found, by check. */
export function Findings({ found, onOpen }) {
  if (!found.summary.length) return html`<p class="good">✓ ${t("preview.clean")}</p>`;
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${t("preview.findings")}><table>
    <caption>${t("preview.findings")}</caption>
    <thead><tr>
      <th scope="col">${t("preview.check")}</th><th scope="col">${t("preview.severity")}</th>
      <th scope="col">${t("preview.found")}</th><th scope="col">${t("preview.says")}</th>
    </tr></thead>
    <tbody>${found.summary.map(
      (one) => html`<tr key=${one.check + one.severity}>
        <th scope="row"><code>${one.check}</code></th>
        <td class=${one.severity === "error" ? "bad" : "warning"}>${t(`preview.severities.${one.severity}`)}</td>
        <td class="number">${onOpen
          ? html`<button type="button" class="small" onClick=${() => onOpen(one)}>
              ${t("data.check.show", { count: one.findings })}</button>`
          : integer(one.findings)}</td>
        <td>${one.says}<br /><small class="soft">${one.first}</small></td>
      </tr>`,
    )}</tbody>
  </table></div>`;
}
